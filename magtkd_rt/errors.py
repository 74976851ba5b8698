"""Every error the project raises on purpose. Each says what is wrong and how to mend it.

MagtkdError
├── InputError       a recording, device or option that cannot be used
├── DataError        a corpus that is missing or not as it should be
├── BundleError      a bundle that is missing, damaged or of another version
├── EngineError      a graph that cannot be run
├── ExtraMissing     an optional part that is not installed
└── ServerError      the websocket server cannot start, or a client cannot reach one
"""

from __future__ import annotations


class MagtkdError(Exception):
    """Base of all: `str()` is one line that ends with the remedy.

    Args:
        problem: what was wanted and what was found.
        remedy: what the reader can do about it.
    """

    def __init__(self, problem: str, *, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; {remedy}")


class InputError(MagtkdError):
    """A recording, device or option that cannot be used."""


class DataError(MagtkdError):
    """A corpus that is missing or not as it should be."""


class BundleError(MagtkdError):
    """A bundle that is missing, damaged or of another version."""


class EngineError(MagtkdError):
    """A graph that cannot be run."""


class ExtraMissing(MagtkdError):
    """An optional part that is not installed.

    Args:
        module: what could not be imported.
        extra: the extra of this package that brings it.
        remedy: what to do instead, where no extra brings it.
    """

    def __init__(self, module: str, extra: str = "", *, remedy: str = "") -> None:
        super().__init__(
            f"{module} is not installed",
            remedy=remedy or f"pip install 'magtkd-rt[{extra}]' brings it, in a clone '.[{extra}]'",
        )


class ServerError(MagtkdError):
    """The websocket server cannot start, or a client cannot reach one."""

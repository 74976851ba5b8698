"""Where both programs begin, and how every error of a user ends: one line and exit code 2."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from magtkd_rt.errors import MagtkdError

USER_ERROR = 2
INTERRUPTED = 130


def main() -> NoReturn:
    """Run `magtkd`."""
    from magtkd_rt.cli.commands import app

    _run(app, "magtkd")


def live_main() -> NoReturn:
    """Run `magtkd-live`."""
    from magtkd_rt.cli.live import app

    _run(app, "magtkd-live")


def _run(app: typer.Typer, program: str) -> NoReturn:
    try:
        code = app(prog_name=program, standalone_mode=False)
    except MagtkdError as error:
        fail(str(error))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except Exception as error:
        # Wrong options: typer's own class for them has moved from release to release.
        if not hasattr(error, "format_message"):
            raise
        fail(f"{error.format_message().rstrip('.')}; see {program} --help")
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str) -> NoReturn:
    """Tell the user what is wrong, in one line, and leave."""
    print(f"magtkd: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(USER_ERROR)

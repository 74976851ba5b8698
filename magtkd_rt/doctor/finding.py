"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]
"""`error` is what stops `magtkd-live` as it is set up; `warning` what makes it worse."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        name: what was looked at.
        level: how bad it is.
        found: what was found.
        remedy: what to do about it; empty where nothing is to be done.
    """

    name: str
    level: Level
    found: str
    remedy: str = ""

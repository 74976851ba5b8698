"""HTML and SVG as text: whatever comes from a session is escaped here."""

from __future__ import annotations

from html import escape
from typing import Final

from magtkd_rt.clients.export.session import plain

_EMPTY: Final = {"meta", "br", "rect", "line", "path", "col"}


def text(value: object) -> str:
    """Text of others, or a number, as markup."""
    return escape(plain(str(value)), quote=False)


def tag(name: str, /, *children: str, **attributes: object) -> str:
    """An element.

    Args:
        name: what it is.
        children: markup.
        attributes: their values are escaped; `_` in a name stands for `-`, one at its end for
            nothing (`class_`). None and False leave the attribute out, True gives it no value.
    """
    told = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = key.removesuffix("_").replace("_", "-")
        told.append(f" {shown}" if value is True else f' {shown}="{escape(plain(str(value)))}"')
    opening = f"<{name}{''.join(told)}>"
    if name in _EMPTY:
        return f"{opening[:-1]}/>"
    return f"{opening}{''.join(children)}</{name}>"


def clock(seconds: float) -> str:
    """A time of the session for people: 1:02:03 or 2:03."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def percent(share: float) -> str:
    """A share for people."""
    return f"{share:.0%}".replace("%", "\u202f%")

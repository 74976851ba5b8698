"""Whether, and how patiently, anything may be fetched."""

from __future__ import annotations

import os
import threading
import urllib.request


def offline() -> bool:
    """Whether MAGTKD_OFFLINE or HF_HUB_OFFLINE forbids every use of the network."""
    names = ("MAGTKD_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def fetch(url: str, *, limit: int, within_s: float) -> bytes | None:
    """Fetch a small file once, without retries.

    Args:
        url: where it is; https.
        limit: bytes at most; more counts as a failure.
        within_s: seconds at most for everything, the look-up of the name included.

    Returns:
        the content, or None if it could not be had in time.
    """
    content: list[bytes] = []

    def work() -> None:
        try:
            with urllib.request.urlopen(url, timeout=within_s) as response:
                body = response.read(limit + 1)
        except (OSError, ValueError):
            return  # also any status that is an error
        if len(body) <= limit:
            content.append(body)

    # In a thread, since looking up a name may take longer than any timeout that one can give.
    thread = threading.Thread(target=work, name="fetch", daemon=True)
    thread.start()
    thread.join(within_s)
    return content[0] if content else None

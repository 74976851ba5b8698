"""How often something may happen for one address, in bounded memory."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_ADDRESSES: Final = 4096
"""Addresses that are remembered; the one not seen for longest is forgotten first."""


class Throttle:
    """Lets something happen `burst` times at once for each address, and then at a steady rate.

    Args:
        burst: times at once, at least 1.
        per_second: rate at which it may happen again.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        burst: float,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> bool:
        """Use up one time; False, and nothing used up, where there is none left."""
        left = self._now_left(address)
        if left < 1.0:
            return False
        self._left[address] = (left - 1.0, self._clock())
        self._left.move_to_end(address)
        if len(self._left) > MAX_ADDRESSES:
            self._left.popitem(last=False)
        return True

    def wait(self, address: str) -> int:
        """Whole seconds until it may happen again, 0 for now."""
        return math.ceil(max(0.0, 1.0 - self._now_left(address)) / self._per_second)

    def _now_left(self, address: str) -> float:
        left, then = self._left.get(address, (self._burst, 0.0))
        return min(self._burst, left + (self._clock() - then) * self._per_second)


def address_key(address: str) -> str:
    """What counts as one address: of IPv6 the network of 64 bits, which one household has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)

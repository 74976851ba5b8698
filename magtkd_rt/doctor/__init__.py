"""What `magtkd-live` needs of this machine: small checks, each with its finding and remedy."""

from __future__ import annotations

from magtkd_rt.doctor.examine import Check, examine
from magtkd_rt.doctor.finding import Finding

__all__ = ["Check", "Finding", "examine"]

"""The command line: `magtkd` and `magtkd-live`. Nothing heavy is imported before it is used."""

from __future__ import annotations

from magtkd_rt.cli.entry import live_main, main

__all__ = ["live_main", "main"]

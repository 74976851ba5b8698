"""`ws /v1/ingest`: sound and pictures over the network. docs/protocol.md says what it promises."""

from __future__ import annotations

from magtkd_rt.server.ingest.endpoint import IngestEndpoint
from magtkd_rt.server.ingest.host import Host, Hosted
from magtkd_rt.server.ingest.limits import SenderLimits

__all__ = ["Host", "Hosted", "IngestEndpoint", "SenderLimits"]

"""The server as the settings want it: every program builds it here."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from magtkd_rt.config import ServerConfig
from magtkd_rt.errors import InputError
from magtkd_rt.server.access import is_loopback, rules
from magtkd_rt.server.app import Endpoint, EventServer
from magtkd_rt.server.gate import Access
from magtkd_rt.server.hub import Hub, Limits
from magtkd_rt.server.limits import ConnectionLimits
from magtkd_rt.server.logs import ServerLog
from magtkd_rt.server.tls import open_tls
from magtkd_rt.server.tokens import TOKEN_VARIABLE, Tokens, parse_token, read_token_file

OTHER_FILES: Final = 256
"""Files and sockets beside the connections: models, devices, recordings."""


def hub_from(config: ServerConfig, sessions: int = 8) -> Hub:
    """A hub that keeps as much as the settings say, of so many sessions."""
    return Hub(
        Limits(
            ring_events=config.ring_events,
            ring_seconds=config.ring_seconds,
            queue_messages=config.queue_messages,
            queue_bytes=config.queue_bytes,
            sessions=sessions,
        )
    )


def server_from(
    config: ServerConfig,
    hub: Hub,
    health: Callable[[], Mapping[str, object]] | None = None,
    *,
    ingest: Endpoint | None = None,
) -> EventServer:
    """A server as the settings want it, not yet listening.

    Args:
        config: the settings.
        hub: whose events.
        health: as for `EventServer`; its `lag_ms`, `pending` and `dropped` are told to Prometheus.
        ingest: as for `EventServer`.

    Raises:
        InputError: a token or the token file is not as it should be.
        ServerError: the certificate or its key is not, or others could connect without a token.
    """
    tokens = tokens_from(config)
    tls = open_tls(config.tls_cert, config.tls_key)
    names = () if tls is None else tls.names
    limits = ConnectionLimits(
        subscribers=config.max_subscribers,
        connections=config.max_connections,
        per_address=config.max_per_address,
        requests_per_minute=config.max_requests,
        message_bytes=config.max_message_bytes,
        bytes_per_second=config.max_bytes_per_second,
        burst_bytes=max(64 * 1024, 4 * config.max_message_bytes),
    )
    hosts = (*config.allow_host, *names)
    return EventServer(
        hub,
        config.host,
        config.port,
        health,
        access=Access(
            rules(config.allow_origin, hosts, any_address=not is_loopback(config.host)), tokens
        ),
        limits=limits,
        tls=tls,
        log=ServerLog(words=config.log_text),
        ingest=ingest,
    )


def tokens_from(config: ServerConfig) -> Tokens:
    """All tokens: of the options, the file, and the environment.

    Raises:
        InputError: one of them is not as it should be.
    """
    found = [parse_token(text) for text in config.token]
    if config.token_file is not None:
        found += read_token_file(config.token_file)
    if text := os.environ.get(TOKEN_VARIABLE):
        try:
            found.append(parse_token(text))
        except InputError as error:
            raise InputError(f"{TOKEN_VARIABLE}: {error.problem}", remedy=error.remedy) from error
    return Tokens(found)


def make_room(config: ServerConfig) -> list[str]:
    """Let this process open as many files as the connections need, as far as it may.

    Returns:
        a warning, where it may not.
    """
    most = ConnectionLimits(config.max_subscribers, config.max_connections).all_connections
    needed = most + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return []
    room = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    if room == needed:
        return []
    return [
        f"{most} connections need {needed} open files, and this process may have {hard}; "
        f"raise that (ulimit -Hn), or give --max-connections {max(1, hard - OTHER_FILES)}"
    ]


def warnings_for(config: ServerConfig) -> list[str]:
    """What the settings allow and nobody should want."""
    found = []
    if not is_loopback(config.host) and config.tls_cert is None:
        found.append(
            "whoever listens on the network can read tokens and events, since there is no TLS; "
            "give --tls-cert and --tls-key"
        )
    if config.token:
        found.append(
            "everybody on this machine can read --token in the list of processes; "
            f"better give --token-file or {TOKEN_VARIABLE}"
        )
    key = config.tls_key
    if key is not None and _everybody_reads(key):
        found.append(f"everybody on this machine may read {key}; better chmod o-rwx {key}")
    return found


def _everybody_reads(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False

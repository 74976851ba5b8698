"""The options of the server, which `magtkd-live` and `magtkd serve` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

ServerFlags = dict[str, object]
"""What the options of the server say, by their names; None where one is not given."""

_ACCESS = "Who may connect"
_LIMITS = "Limits of the server"
_LOGS = "Logs"


def _declared(
    host: Annotated[
        str | None,
        typer.Option(
            help="Address that the server listens on.",
            show_default="127.0.0.1",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Its port; 0 takes any free one.", show_default="8765", rich_help_panel=_ACCESS
        ),
    ] = None,
    token: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE:]SECRET",
            help="Who connects needs it; ROLE is observe or publish, else both. May be repeated. "
            "Other users see it: better --token-file, or MAGTKD_TOKEN.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tokens, one a line.", rich_help_panel=_ACCESS),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate, PEM.", rich_help_panel=_ACCESS),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its key, PEM.", rich_help_panel=_ACCESS)
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Web pages that may connect, like https://example.org; may be repeated.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name by which the server is called; may be repeated.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    max_subscribers: Annotated[
        int | None,
        typer.Option(
            help="Websockets at once; then 503.", show_default="1100", rich_help_panel=_LIMITS
        ),
    ] = None,
    max_connections: Annotated[
        int | None,
        typer.Option(
            help="Connections at once; then they are cut off.",
            show_default="64 more than subscribers",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_per_address: Annotated[
        int | None,
        typer.Option(
            help="Connections of one address at once; then they are cut off.",
            show_default="64; no bound for this machine",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option(
            help="Requests a minute of one address elsewhere; then 429.",
            show_default="600",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_message_bytes: Annotated[
        int | None,
        typer.Option(
            help="Of one message of a subscriber; then 1009.",
            show_default="16384",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_bytes_per_second: Annotated[
        int | None,
        typer.Option(
            help="That a subscriber may send; then it is cut off.",
            show_default="4096",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    queue_messages: Annotated[
        int | None,
        typer.Option(
            help="That wait for one subscriber; then provisional ones give way, then 1013.",
            show_default="256",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    queue_bytes: Annotated[
        int | None,
        typer.Option(
            help="That wait for one subscriber.", show_default="1048576", rich_help_panel=_LIMITS
        ),
    ] = None,
    ring_events: Annotated[
        int | None,
        typer.Option(
            help="Events of a session that are kept for who comes back.",
            show_default="10000",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    ring_seconds: Annotated[
        float | None,
        typer.Option(
            help="For how long they are kept.", show_default="600", rich_help_panel=_LIMITS
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Log sessions, refusals and losses there as lines of JSON, without a word of "
            "what was said.",
            rich_help_panel=_LOGS,
        ),
    ] = None,
    log_text: Annotated[
        bool | None,
        typer.Option("--log-text", help="Log what was said, too.", rich_help_panel=_LOGS),
    ] = None,
) -> None:
    """Where the options are declared; never called."""


_OPTIONS = inspect.signature(_declared, eval_str=True).parameters


def with_server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the server's options.

    The command gets them as its keyword argument `server_flags`: by name, None where not given.
    """

    @wraps(command)
    def run(**given: Any) -> None:
        flags = {name: given.pop(name) for name in _OPTIONS}
        command(**given, server_flags={k: None if v == [] else v for k, v in flags.items()})

    own = inspect.signature(command, eval_str=True)
    kept = [p for p in own.parameters.values() if p.name != "server_flags"]
    added = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in _OPTIONS.values()]
    run.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
    return run

"""The options of programs that connect to a server: its token, and whom to trust."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated

import typer

from magtkd_rt.errors import InputError

TokenOption = Annotated[
    str | None,
    typer.Option(
        metavar="SECRET",
        help="The server's token. Other users see it: better --token-file, or MAGTKD_TOKEN.",
    ),
]
TokenFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The server's token; the first in it counts.")
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Trust servers whose certificate this one signed, or is; PEM.",
        show_default="those that the system trusts",
    ),
]


def find_token(token: str | None, token_file: Path | None) -> str | None:
    """The secret to show: of the option, else of the file, else of the environment.

    Raises:
        InputError: the file cannot be read, everybody can read it, or it is empty.
    """
    from magtkd_rt.server.tokens import TOKEN_VARIABLE, read_private  # not for --help

    if token is None and token_file is not None:
        lines = (line.partition("#")[0].split() for line in read_private(token_file).splitlines())
        token = next((words[0] for words in lines if words), None)
        if token is None:
            raise InputError(f"{token_file} holds no token", remedy="write it into its first line")
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    return None if token is None else token.rpartition(":")[2]  # the role is the server's business


def trusting(authority: Path | None) -> ssl.SSLContext | None:
    """Trust in one authority, or in a server's own certificate; None for the system's trust.

    Raises:
        InputError: the file holds no certificate.
    """
    if authority is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or "no certificate"
        raise InputError(
            f"{authority} cannot be read ({why})", remedy="give --ca a PEM file with a certificate"
        ) from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context

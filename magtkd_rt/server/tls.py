"""TLS: certificate and key, looked at before anybody connects."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from magtkd_rt.errors import ServerError

_ORDER: Final = "the server's own certificate comes first, then those between it and the authority"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What is needed to serve TLS.

    Attributes:
        context: for the sockets.
        names: by which the certificate says that the server is called.
    """

    context: ssl.SSLContext
    names: tuple[str, ...]


def open_tls(certificate: Path | None, key: Path | None) -> ServerTls | None:
    """Read a certificate and its key, both PEM; None where neither is given.

    Raises:
        ServerError: one of the two is missing or cannot be read, they do not belong together, the
            key asks for a password, or the certificate is not valid now.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "--tls-key" if key is None else "--tls-cert"
        raise ServerError("TLS needs a certificate and its key", remedy=f"give {missing} FILE too")
    for path, what in ((certificate, "--tls-cert"), (key, "--tls-key")):
        _check_readable(path, what)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _PasswordAsked as error:
        raise ServerError(
            f"the key {key} asks for a password",
            remedy=f"give one without: openssl pkey -in {key} -out plain.key; chmod 600 plain.key",
        ) from error
    except ssl.SSLError as error:
        raise _unusable(certificate, key, error) from error
    return ServerTls(context, _look_at(context, certificate))


def _check_readable(path: Path, what: str) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ServerError(
            f"{path} cannot be read ({error.strerror})", remedy=f"give {what} a PEM file"
        ) from error


class _PasswordAsked(Exception):
    """A key is encrypted."""


def _refuse_password() -> str:
    raise _PasswordAsked


def _unusable(certificate: Path, key: Path, error: ssl.SSLError) -> ServerError:
    if error.reason == "KEY_VALUES_MISMATCH":
        return ServerError(
            f"the key {key} does not belong to the certificate {certificate}",
            remedy=f"give the key that it was made with; {_ORDER}",
        )
    return ServerError(
        f"{certificate} and {key} are no certificate and key",
        remedy="give PEM files: --tls-cert begins with -----BEGIN CERTIFICATE, --tls-key with "
        "-----BEGIN PRIVATE KEY",
    )


def _look_at(context: ssl.SSLContext, certificate: Path) -> tuple[str, ...]:
    """The names in the server's certificate, which must be valid now.

    Python shows a certificate's content only to a client that trusts it: so we connect with
    ourselves, in memory, and trust exactly this one.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server)
    there = context.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(4):
            for side in (here, there):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
    except ssl.SSLCertVerificationError as error:
        raise ServerError(
            f"the certificate {certificate} is not valid ({error.verify_message})",
            remedy="give one that is; look at it with: "
            f"openssl x509 -in {certificate} -noout -dates -subject",
        ) from error
    shown = here.getpeercert() or {}
    names: list[str] = []
    for kind, name in shown.get("subjectAltName", ()):  # type: ignore[str-unpack]
        if kind == "DNS":
            names.append(str(name))
    return tuple(names)

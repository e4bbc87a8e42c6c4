"""TLS for DIMSE, on both sides (PS3.15 B.12: BCP 195), and whether a plain connection deserves a warning."""

from __future__ import annotations

import ssl
from ipaddress import ip_address

from workbench.errors import PacsError
from workbench.pacs.config import LOOPBACK, DimseSettings, ReceiverSettings


def client_context(name: str, settings: DimseSettings) -> ssl.SSLContext | None:
    """What a connection to an archive is encrypted with; None where TLS is off.

    Raises:
        PacsError: a certificate file is missing or is none.
    """
    if not settings.tls:
        return None
    with _reading(name):
        context = ssl.create_default_context(cafile=settings.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    return context


def server_context(settings: ReceiverSettings) -> ssl.SSLContext | None:
    """What the receiver is encrypted with; None where TLS is off.

    Raises:
        PacsError: a certificate file is missing or is none.
    """
    if not settings.tls or settings.certificate is None:
        return None
    with _reading("receiver"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(settings.certificate, settings.key)
        if settings.ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
    return context


class _reading:  # noqa: N801 - a context manager, used like a function
    """Turns what goes wrong with certificate files into `PacsError`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ssl.SSLError):
            raise PacsError(
                self._name,
                "A certificate or key file of the archives file is missing, unreadable or not PEM.",
                "Check `ca`, `certificate` and `key`.",
            ) from error


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host.lower() in LOOPBACK:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def plain_warning(host: str, tls: bool) -> str:
    """What to tell a person about an unencrypted connection, empty where there is nothing to tell."""
    if tls or is_loopback(host):
        return ""
    return (
        "The connection is not encrypted (tls = false): whoever can listen on the network sees patients' "
        "names and images."
    )

"""How the web interface is served: what ``workbench ui`` was told, checked once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.service.accounts import TIMEOUTS, Timeouts
from workbench.weights import DEFAULT

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may send, and how long it may take about it.

    Attributes:
        upload: bytes of one upload request; several follow each other for more.
        files: in one upload request.
        body: bytes of any other request to the API, and `page` of one that the page itself makes.
        uploads_each, uploads: uploads under way at once, of one person and of all together.
        pause: seconds without a byte after which a request is given up.
        patience: seconds a body that is no upload may take in all.
    """

    upload: int = 2048 * _MEGABYTE
    files: int = 5000
    body: int = _MEGABYTE
    page: int = 4 * _MEGABYTE
    uploads_each: int = 3
    uploads: int = 12
    pause: float = 30.0
    patience: float = 60.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID Connect provider people sign in with.

    Attributes:
        issuer: its address; ``/.well-known/openid-configuration`` is read below it.
        client_id, client_secret: as registered there.
        welcome: whether somebody unknown becomes a reader, or is refused.
        title: what the button on the sign-in page calls it.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    welcome: bool = True
    title: str = "your organisation"


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything about serving.

    Attributes:
        host, port: what to listen on.
        login: whether people sign in; without it, only this machine is served.
        allow_hosts: names it answers to, beside those of this machine.
        tls_cert, tls_key: PEM files; or neither.
        proxy: address of a reverse proxy that ends TLS and whose word about the client is taken, or empty.
        weights: a shipped name, or a learner file.
        pool_slices: see `workbench.learners`.
        workers: processes that do the jobs.
        timeouts: of sign-ins.
        limits: of requests.
        provider: for OpenID Connect, or None.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    login: bool = False
    allow_hosts: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxy: str = ""
    weights: str | Path = DEFAULT
    pool_slices: int = 0
    workers: int = 2
    timeouts: Timeouts = TIMEOUTS
    limits: Limits = LIMITS
    provider: Provider | None = None

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by TLS."""
        return self.tls_cert is not None or bool(self.proxy)

    @property
    def cookie(self) -> str:
        """Name of the sign-in cookie; it carries the port, because browsers share cookies between ports.

        ``__Host-`` makes browsers refuse it from other subdomains and without TLS.
        """
        return f"{'__Host-' if self.secure else ''}workbench_{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a Host header may carry, without port."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in (*LOOPBACK, *self.allow_hosts, own))

    def checked(self) -> Serving:
        """Itself, if it is safe to serve so.

        Raises:
            WorkbenchError: other machines would be served without login or without TLS, or half of the TLS
                files is missing.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise WorkbenchError("TLS needs both --tls-cert and --tls-key.")
        if self.tls_cert is not None and self.proxy:
            raise WorkbenchError(
                "TLS ends either here (--tls-cert) or at the reverse proxy (--proxy): choose one."
            )
        if is_loopback(self.host):
            return self
        if not self.login:
            raise WorkbenchError(
                f"Without login the workbench is served on this machine only, not on {self.host!r}. Add "
                "--login (make a first user with `workbench users add NAME --role admin`), use 127.0.0.1, or "
                "forward the port over ssh."
            )
        if not self.secure:
            raise WorkbenchError(
                f"On {self.host!r} passwords and scans would cross the network in clear. Give --tls-cert and "
                "--tls-key, or name the reverse proxy that ends TLS with --proxy."
            )
        if not self.allow_hosts and self.host in ("0.0.0.0", "::"):  # noqa: S104
            raise WorkbenchError(
                "Say by which name browsers reach it: --allow-host workbench.example.org. Requests for other "
                "names are refused."
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

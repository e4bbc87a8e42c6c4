"""Signing in by OpenID Connect: authorization code with PKCE, state and nonce.

OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE); RFC 9700 (current practice). Authlib speaks OAuth,
joserfc checks the signature of the identity token. Nothing of the provider's tokens is kept.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.integrations.httpx_client import OAuth2Client
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from markupsafe import Markup
from sqlalchemy import select

from ui import forms
from ui.server import cookie_header, read_cookie
from ui.serving import LOOPBACK, Provider, Serving
from workbench.errors import SignInError, WorkbenchError
from workbench.service import accounts
from workbench.service.kinds import Role
from workbench.store.database import Store
from workbench.store.schema import User

_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
_PATIENCE = 600.0
"""Seconds somebody may take at the provider."""
_SKEW = 60
_MOST = 1000
_FAILED = "Signing in did not work: {} Try again; if it happens again, tell an administrator."


@dataclass(frozen=True, slots=True)
class _Pending:
    """A sign-in under way: what must come back, and which browser began it."""

    nonce: str
    verifier: str
    browser: str
    begun: float


class _Flows:
    """Sign-ins under way, by their state; each can be ended once."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, _Pending] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, state: str, pending: _Pending) -> None:
        with self._lock:
            self._held[state] = pending
            while len(self._held) > _MOST:
                self._held.popitem(last=False)

    def end(self, state: str, browser: str) -> _Pending:
        with self._lock:
            pending = self._held.pop(state, None)
        if (
            pending is None
            or time.monotonic() - pending.begun > _PATIENCE
            or not secrets.compare_digest(pending.browser, _digest(browser))
        ):
            raise SignInError("it was not begun in this browser, or too long ago.")
        return pending


class Client:
    """Talks to the provider; synchronous, called from worker threads.

    Args:
        provider: as registered.
        redirect: where the provider sends people back to.
    """

    def __init__(self, provider: Provider, redirect: str) -> None:
        self._provider = provider
        self._redirect = redirect
        self._about: dict[str, Any] = {}

    def begin(self, state: str, nonce: str, verifier: str) -> str:
        """Address at the provider to send the browser to."""
        with self._oauth() as oauth:
            address, _ = oauth.create_authorization_url(
                self._metadata()["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
            )
        return str(address)

    def finish(self, code: str, pending: _Pending) -> dict[str, Any]:
        """What the provider says of the person: claims of a checked identity token.

        Raises:
            SignInError: the provider refuses, or its token does not hold.
        """
        try:
            with self._oauth() as oauth:
                token = oauth.fetch_token(
                    self._metadata()["token_endpoint"], code=code, code_verifier=pending.verifier
                )
            keys = KeySet.import_key_set(_fetched(self._metadata()["jwks_uri"]))
            decoded = jwt.decode(str(token["id_token"]), keys, algorithms=_ALGORITHMS)
            claims = decoded.claims
            jwt.JWTClaimsRegistry(
                leeway=_SKEW,
                iss={"essential": True, "value": self._metadata()["issuer"]},
                aud={"essential": True, "value": self._provider.client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": pending.nonce},
            ).validate(claims)
        except (JoseError, httpx.HTTPError, KeyError, ValueError) as error:
            raise SignInError(f"the provider's answer does not hold ({type(error).__name__}).") from error
        except Exception as error:  # authlib raises its own by the provider's words
            raise SignInError(f"the provider refused ({type(error).__name__}).") from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if several and claims.get("azp") != self._provider.client_id:
            raise SignInError("the provider's answer is for another application.")
        return dict(claims)

    def _oauth(self) -> OAuth2Client:
        return OAuth2Client(
            self._provider.client_id,
            self._provider.client_secret or None,
            token_endpoint_auth_method="client_secret_basic" if self._provider.client_secret else "none",
            scope="openid profile",
            redirect_uri=self._redirect,
            code_challenge_method="S256",
            timeout=10,
        )

    def _metadata(self) -> dict[str, Any]:
        """The provider's own description (OpenID Connect Discovery 1.0), fetched once."""
        if not self._about:
            issuer = self._provider.issuer.rstrip("/")
            if urlsplit(issuer).scheme != "https" and urlsplit(issuer).hostname not in _local():
                raise SignInError("the provider's address does not begin with https.")
            about = _fetched(f"{issuer}/.well-known/openid-configuration")
            if str(about.get("issuer", "")).rstrip("/") != issuer:
                raise SignInError("the provider calls itself by another address.")
            self._about = about
        return self._about


def router(store: Store, serving: Serving, provider: Provider) -> APIRouter:
    """``/oidc/start`` sends people to the provider, ``/oidc/back`` takes them back."""
    routes = APIRouter(include_in_schema=False)
    flows = _Flows()
    name = f"{serving.cookie}_oidc"

    def client(request: Request) -> Client:
        # The gate lets through only names that are served here.
        scheme = "https" if serving.secure else "http"
        return Client(provider, f"{scheme}://{request.headers['host']}/oidc/back")

    @routes.get("/oidc/start")
    def start(request: Request) -> Response:
        state, nonce, verifier, browser = (secrets.token_urlsafe(48) for _ in range(4))
        try:
            address = client(request).begin(state, nonce, verifier)
        except (SignInError, httpx.HTTPError, KeyError, ValueError) as error:
            told = str(error) if isinstance(error, SignInError) else "the provider does not answer."
            return _failed(told)
        flows.begin(state, _Pending(nonce, verifier, _digest(browser), time.monotonic()))
        response = RedirectResponse(address, status_code=303)
        # Lax, because the way back begins at the provider's site.
        secure = "; Secure" if serving.secure else ""
        response.headers.append(
            "set-cookie", f"{name}={browser}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax{secure}"
        )
        return response

    @routes.get("/oidc/back")
    def back(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
        try:
            pending = flows.end(state, read_cookie(request.headers.get("cookie", ""), name) or "")
            if error or not code:
                raise SignInError("the provider did not confirm it.")
            claims = client(request).finish(code, pending)
            user_id = _user(store, provider, claims)
            value = accounts.sign_in(store, user_id, how="openid connect")
        except WorkbenchError as refused:
            return _failed(str(refused))
        response = forms.onwards()
        response.headers.append("set-cookie", cookie_header(serving, value))
        response.headers.append("set-cookie", f"{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
        return response

    return routes


def _user(store: Store, provider: Provider, claims: dict[str, Any]) -> str:
    """The user with this issuer and subject; a new reader where that is welcome.

    Raises:
        SignInError: the person is not known and unknown people are refused.
    """
    subject = f"{claims['iss']}|{claims['sub']}"[:300]
    with store.read() as session:
        known = session.scalar(select(User.id).where(User.subject == subject))
    if known is not None:
        return known
    if not provider.welcome:
        raise SignInError("nobody has added you here yet.")
    wanted = str(claims.get("preferred_username") or "").strip().lower()
    shown = str(claims.get("name") or wanted or "reader")
    # A name that is taken is somebody else's: nobody becomes another by calling themselves so.
    spare = f"oidc-{hashlib.sha256(subject.encode()).hexdigest()[:12]}"
    for name in (wanted, spare):
        try:
            made = accounts.create_user(
                store, accounts.CONSOLE, name, Role.READER, display=shown, subject=subject
            )
        except WorkbenchError:
            continue
        return made.id
    raise SignInError("no account could be made.")


def _failed(why: str) -> Response:
    body = forms.said(_FAILED.format(why)) + Markup('<a class="button quiet" href="/login">Back</a>')
    return forms.page("Sign in", body, status=403)


def _fetched(address: str) -> Any:
    response = httpx.get(address, timeout=10, follow_redirects=False)
    response.raise_for_status()
    return response.json()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _local() -> tuple[str, ...]:
    return tuple(name.strip("[]") for name in LOOPBACK)

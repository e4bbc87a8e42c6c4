"""A small OpenID Connect provider on loopback, which can be told to lie."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "workbench", "a client secret"


@dataclass
class Fake:
    """The provider.

    Attributes:
        person: claims of whoever is signed in there.
        lies: claims put over the true ones.
        other_key: sign with a key that is not published.
        asked: queries of the authorization requests that came.
    """

    issuer: str = ""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "1"})
    lies: dict[str, Any] = field(default_factory=dict)
    other_key: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k"}))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to; the person agrees at once."""
        self.asked.append(query)
        code = f"code{len(self.codes)}"
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, str] | None:
        """Tokens for a code: once, to the client that asked, with its verifier (RFC 7636)."""
        query = self.codes.pop(form["code"], None)
        expected = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '+')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if query is None or authorization.removeprefix("Basic ") not in (expected, plain):
            return None
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if query.get("code_challenge_method") != "S256" or query["code_challenge"] != challenge:
            return None
        now = int(time.time())
        true = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": query["nonce"]}
        key = RSAKey.generate_key(2048, {"kid": "k"}) if self.other_key else self.key
        token = jwt.encode({"alg": "RS256", "kid": "k"}, {**true, **self.person, **self.lies}, key)
        return {"access_token": "unused", "token_type": "Bearer", "id_token": token}


@contextmanager
def provider() -> Iterator[Fake]:
    """The provider, served."""
    fake = Fake()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

        def answer(self, content: object, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            if address.path == "/.well-known/openid-configuration":
                self.answer(
                    {
                        "issuer": fake.issuer,
                        "authorization_endpoint": f"{fake.issuer}/authorize",
                        "token_endpoint": f"{fake.issuer}/token",
                        "jwks_uri": f"{fake.issuer}/keys",
                    }
                )
            elif address.path == "/keys":
                self.answer({"keys": [fake.key.as_dict(private=False)]})
            else:
                self.send_response(303)
                self.send_header("location", fake.authorize(query))
                self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            given = fake.token(form, self.headers.get("authorization", ""))
            self.answer(given or {"error": "invalid_grant"}, 200 if given else 400)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()

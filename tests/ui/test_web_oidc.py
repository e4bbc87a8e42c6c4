"""Signing in by OpenID Connect, against a provider that the test serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

pytest.importorskip("authlib", reason="the extra `oidc` is not installed")

from ui.serving import Provider, Serving
from workbench.service import accounts
from workbench.service.kinds import Role
from workbench.store.schema import User

from .people import PASSWORD, client
from .provider import CLIENT, SECRET, Fake, provider
from .serve import Served, served


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    with provider() as made:
        yield made


@pytest.fixture(autouse=True)
def _honest(fake: Fake) -> None:
    fake.person, fake.lies, fake.other_key = {"sub": "1"}, {}, False


@pytest.fixture(scope="module")
def site(fake: Fake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    serving = Serving(login=True, workers=0, provider=Provider(fake.issuer, CLIENT, SECRET))
    with served(tmp_path_factory.mktemp("oidc") / "data", serving) as made:
        yield made


def enter(site: Served, http: httpx.Client, **changed: str) -> httpx.Response:
    """Walk the whole way as a browser does; `changed` are query parameters of the way back."""
    away = http.get("/oidc/start")
    back = http.get(away.headers["location"]).headers["location"]
    address = httpx.URL(back).copy_merge_params(changed) if changed else back
    cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    return http.get(address, headers=cross)


def test_somebody_new_becomes_a_reader_and_is_the_same_person_next_time(site: Served, fake: Fake) -> None:
    fake.person = {"sub": "new", "preferred_username": "Nora", "name": "Dr Nora"}
    seen = []
    for _ in range(2):
        with client(site.address) as http:
            answer = enter(site, http)
            assert answer.status_code == 200
            assert answer.headers["refresh"] == "0; url=/"
            cookies = answer.headers.get_list("set-cookie")
            assert any("SameSite=Strict" in one and "HttpOnly" in one for one in cookies)
            seen.append(http.get("/api/v1/me").json()["actor"])
    assert seen[0] == seen[1]
    assert (seen[0]["name"], seen[0]["role"], seen[0]["reader"]) == ("nora", "reader", "Dr Nora")
    with site.store.read() as session:
        user = session.scalar(select(User).where(User.name == "nora"))
        assert user is not None
        assert user.subject == f"{fake.issuer}|new"
        assert user.password == ""


def test_state_nonce_and_pkce_go_out_and_are_never_the_same(site: Served, fake: Fake) -> None:
    fake.asked.clear()
    for _ in range(2):
        with client(site.address) as http:
            enter(site, http)
    first, second = fake.asked
    assert first["code_challenge_method"] == "S256"
    assert first["scope"].split()[0] == "openid"
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 43
        assert first[name] != second[name]


@pytest.mark.parametrize(
    "lies",
    [
        {"nonce": "another"},
        {"aud": "another client"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": "http://127.0.0.1:1"},
        {"exp": 1_000_000_000},
        {"sub": None},
    ],
)
def test_a_token_that_does_not_hold_signs_nobody_in(site: Served, fake: Fake, lies: dict[str, Any]) -> None:
    fake.lies = lies
    with client(site.address) as http:
        answer = enter(site, http)
        assert answer.status_code == 403
        assert "did not work" in answer.text
        assert http.get("/api/v1/me").status_code == 401


def test_a_token_signed_by_another_key_signs_nobody_in(site: Served, fake: Fake) -> None:
    fake.other_key = True
    with client(site.address) as http:
        assert enter(site, http).status_code == 403


def test_a_way_back_that_was_not_begun_here_is_refused(site: Served) -> None:
    with client(site.address) as http, client(site.address) as other:
        assert enter(site, http, state="made up").status_code == 403
        # Somebody else's way back, put under a person's nose, does not sign that person in as them.
        away = other.get("/oidc/start")
        back = other.get(away.headers["location"]).headers["location"]
        assert http.get(back).status_code == 403
        assert other.get(back).status_code == 403, "and it counts once"


def test_nobody_becomes_another_by_calling_themselves_so(site: Served, fake: Fake) -> None:
    accounts.create_user(site.store, accounts.CONSOLE, "boss", Role.ADMIN, PASSWORD)
    fake.person = {"sub": "impostor", "preferred_username": "boss"}
    with client(site.address) as http:
        enter(site, http)
        me = http.get("/api/v1/me").json()["actor"]
    assert me["name"].startswith("oidc-")
    assert me["role"] == "reader"


def test_somebody_who_was_added_keeps_the_role(site: Served, fake: Fake) -> None:
    accounts.create_user(site.store, accounts.CONSOLE, "known", Role.EDITOR, subject=f"{fake.issuer}|known")
    fake.person = {"sub": "known"}
    with client(site.address) as http:
        enter(site, http)
        assert http.get("/api/v1/me").json()["actor"]["role"] == "editor"
    assert (
        "is wrong"
        in client(site.address)
        .post("/login", data={"name": "known", "password": ""}, headers={"Origin": site.address})
        .text
    ), "without a password nobody signs in by form"


def test_unknown_people_can_be_refused(fake: Fake, tmp_path: Path) -> None:
    strict = Provider(fake.issuer, CLIENT, SECRET, welcome=False)
    serving = replace(Serving(login=True, workers=0), provider=strict)
    fake.person = {"sub": "stranger"}
    with served(tmp_path / "data", serving) as site, client(site.address) as http:
        assert "Sign in with your organisation" in http.get("/login").text
        assert "nobody has added you here" in enter(site, http).text
        with site.store.read() as session:
            assert session.scalar(select(User.id)) is None

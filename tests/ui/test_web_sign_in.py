"""Signing in: the cookie, its end, throttling, and one's own account."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, update

from ui.serving import Serving
from workbench.service import accounts
from workbench.service.accounts import passwords
from workbench.service.kinds import Role
from workbench.store.schema import AuditRow, FailedSignIn, SignIn, User

from .people import PASSWORD, Person, client, signed_in
from .serve import Served, served


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page of its own, since wrong attempts from this machine count for everybody on it."""
    with served(tmp_path_factory.mktemp("site") / "data", Serving(workers=0, login=True)) as made:
        yield made


@pytest.fixture(autouse=True)
def _no_wrong_attempts(site: Served) -> None:
    with site.store.session() as session:
        session.query(FailedSignIn).delete()


def newcomer(site: Served, name: str, role: Role = Role.EDITOR) -> str:
    return accounts.create_user(site.store, accounts.CONSOLE, name, role, PASSWORD).id


def try_to(site: Served, name: str, password: str) -> httpx.Response:
    with client(site.address) as http:
        return http.post(
            "/login", data={"name": name, "password": password}, headers={"Origin": site.address}
        )


def test_a_page_that_needs_a_login_shows_nothing_without_one(site: Served) -> None:
    with client(site.address) as http:
        answer = http.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert http.get("/account").headers["location"] == "/login"
        assert http.post("/logout", headers={"Origin": site.address}).headers["location"] == "/login"
        for path in ("/config", "/gradio_api/info", "/api/v1/conditions", "/api/v1/openapi.json"):
            assert http.get(path).status_code == 401
        assert (
            http.post("/gradio_api/queue/join", json={}, headers={"Origin": site.address}).status_code == 401
        )


def test_the_sign_in_cookie_is_strict_and_hidden_from_scripts(site: Served) -> None:
    newcomer(site, "flags")
    cookie = try_to(site, "flags", PASSWORD).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "SameSite=None" not in cookie


def test_only_a_digest_of_the_cookie_and_an_argon2id_hash_are_stored(site: Served) -> None:
    user_id = newcomer(site, "digests")
    value = try_to(site, "digests", PASSWORD).headers["set-cookie"].split(";")[0].split("=", 1)[1]
    assert len(value) >= 43  # 256 bits
    with site.store.read() as session:
        stored = session.scalars(select(SignIn.digest).where(SignIn.user_id == user_id)).all()
        assert len(stored) == 1
        assert value not in stored[0]
        assert session.get_one(User, user_id).password.startswith("$argon2id$")


def test_wrong_name_and_wrong_password_are_told_alike_and_both_hash(
    site: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    newcomer(site, "alike")
    checked = []
    verify = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda a, b: checked.append(b) or verify(a, b))
    wrong, nobody = try_to(site, "alike", "x" * 12), try_to(site, "nobody-at-all", "x" * 12)
    assert wrong.status_code == nobody.status_code == 403
    assert wrong.text == nobody.text
    assert "The name or the password is wrong." in wrong.text
    assert len(checked) == 2


def test_an_outdated_hash_is_renewed_at_sign_in(site: Served) -> None:
    from argon2 import PasswordHasher

    user_id = newcomer(site, "outdated")
    weak = PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)
    with site.store.session() as session:
        session.execute(update(User).where(User.id == user_id).values(password=weak))
    assert try_to(site, "outdated", PASSWORD).status_code == 303
    with site.store.read() as session:
        renewed = session.get_one(User, user_id).password
    assert renewed != weak
    assert not passwords.is_outdated(renewed)


def test_wrong_passwords_are_throttled_in_words_and_nobody_is_shut_out_for_good(site: Served) -> None:
    newcomer(site, "slow")
    for _ in range(5):
        assert "is wrong" in try_to(site, "slow", "not the password").text
    held = try_to(site, "slow", PASSWORD)
    assert held.status_code == 403
    assert "Try again in 2 seconds." in held.text
    # What was refused for coming too soon is not counted, and time heals.
    with site.store.session() as session:
        session.execute(update(FailedSignIn).values(at=FailedSignIn.at - 3))
    assert try_to(site, "slow", PASSWORD).status_code == 303
    assert "is wrong" in try_to(site, "slow", "not the password").text


def test_many_attempts_at_once_do_not_slip_past_the_throttle(site: Served) -> None:
    from concurrent.futures import ThreadPoolExecutor

    newcomer(site, "burst")
    with ThreadPoolExecutor(12) as pool:
        told = list(pool.map(lambda _: try_to(site, "burst", "not the password"), range(12)))
    assert [one.status_code for one in told] == [403] * 12
    assert sum("is wrong" in one.text for one in told) == 5


def test_guessing_many_names_from_one_address_is_throttled(site: Served) -> None:
    told = [try_to(site, f"guess{i}", "not the password").text for i in range(21)]
    assert all("is wrong" in text for text in told[:20])
    assert "too many wrong attempts" in told[20]


def test_signing_in_makes_a_new_cookie_and_ends_the_old_one(site: Served) -> None:
    newcomer(site, "rotates")
    with signed_in(site.address, "rotates") as person:
        old = dict(person.http.cookies)
        person.http.post(
            "/login", data={"name": "rotates", "password": PASSWORD}, headers={"Origin": site.address}
        )
        assert dict(person.http.cookies) != old
        assert person.http.get("/api/v1/me").status_code == 200
        with client(site.address, cookies=old) as thief:
            assert thief.get("/api/v1/me").status_code == 401


def test_a_sign_in_ends_when_idle_and_in_any_case_after_half_a_day(site: Served) -> None:
    user_id = newcomer(site, "idle")

    def aged(**columns: float) -> int:
        with signed_in(site.address, "idle") as person:
            with site.store.session() as session:
                session.execute(update(SignIn).where(SignIn.user_id == user_id).values(**columns))
            return person.http.get("/api/v1/me").status_code

    now = time.time()
    assert aged(seen=now - 29 * 60) == 200
    assert aged(seen=now - 31 * 60) == 401
    assert aged(created=now - 11.9 * 3600) == 200
    assert aged(created=now - 12.1 * 3600) == 401


def test_use_keeps_a_sign_in(site: Served) -> None:
    user_id = newcomer(site, "slides")
    with signed_in(site.address, "slides") as person:
        with site.store.session() as session:
            session.execute(
                update(SignIn).where(SignIn.user_id == user_id).values(seen=time.time() - 20 * 60)
            )
        person.ask("GET", "/api/v1/me")
        with site.store.read() as session:
            seen = session.scalar(select(SignIn.seen).where(SignIn.user_id == user_id))
        assert seen is not None
        assert time.time() - seen < 60


def test_signing_out_ends_the_cookie_here_or_everywhere(site: Served) -> None:
    newcomer(site, "leaves")
    with signed_in(site.address, "leaves") as here, signed_in(site.address, "leaves") as there:
        kept = dict(here.http.cookies)
        answer = here.http.post("/logout")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        with client(site.address, cookies=kept) as again:
            assert again.get("/api/v1/me").status_code == 401
        assert there.http.get("/api/v1/me").status_code == 200
        with signed_in(site.address, "leaves") as third:
            third.http.post("/logout/everywhere")
        assert there.http.get("/api/v1/me").status_code == 401


def test_changing_the_password_needs_the_old_one_and_signs_out_the_others(site: Served) -> None:
    newcomer(site, "changes")
    new = "another good password"
    with signed_in(site.address, "changes") as here, signed_in(site.address, "changes") as there:

        def change(old: str, typed: str, again: str) -> httpx.Response:
            return here.http.post("/account/password", data={"old": old, "new": typed, "again": again})

        assert "is wrong" in change("not the password", new, new).text
        assert "same way twice" in change(PASSWORD, new, new + "x").text
        assert "fewer than 12" in change(PASSWORD, "short", "short").text
        assert change(PASSWORD, new, new).status_code == 303
        assert here.http.get("/api/v1/me").status_code == 200
        assert there.http.get("/api/v1/me").status_code == 401
    assert try_to(site, "changes", PASSWORD).status_code == 403
    assert try_to(site, "changes", new).status_code == 303


def test_a_closed_account_and_a_changed_role_count_at_once(site: Served) -> None:
    user_id = newcomer(site, "demoted")
    with signed_in(site.address, "demoted") as person:
        accounts.set_role(site.store, accounts.CONSOLE, user_id, Role.READER)
        assert person.http.post("/api/v1/conditions", json={"title": "x"}).status_code == 403
        accounts.deactivate(site.store, accounts.CONSOLE, user_id)
        assert person.http.get("/api/v1/me").status_code == 401
    assert "is wrong" in try_to(site, "demoted", PASSWORD).text


def test_the_form_works_without_javascript_and_loads_nothing(site: Served) -> None:
    with client(site.address) as http:
        answer = http.get("/login")
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for name in ("name", "password"):
        assert f'<label for="{name}">' in answer.text


def test_a_link_from_another_site_finds_the_sign_in_again(site: Served) -> None:
    with client(site.address) as http:
        answer = http.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert answer.status_code == 200
    assert answer.headers["refresh"] == "0; url=/"
    assert "set-cookie" not in answer.headers


def test_nobody_is_set_up_over_the_web(tmp_path: Path) -> None:
    with served(tmp_path / "data", Serving(workers=0, login=True)) as empty, client(empty.address) as http:
        assert "workbench users add NAME --role admin" in http.get("/login").text
        assert http.post("/api/v1/users", json={"name": "eve", "role": "admin"}).status_code == 401


def test_signing_in_and_out_is_in_the_audit_trail_without_names(site: Served) -> None:
    newcomer(site, "audited")
    with signed_in(site.address, "audited") as person:
        person.http.post("/logout")
    try_to(site, "audited", "not the password")
    with site.store.read() as session:
        rows = session.scalars(select(AuditRow)).all()
        counted = session.scalar(select(func.count()).select_from(AuditRow))
    assert counted
    actions = {row.action for row in rows}
    assert {"user.create", "user.sign_in", "user.sign_out", "user.refused"} <= actions
    assert not any("audited" in str(row.detail) or row.actor == "audited" for row in rows)


def test_tokens_are_shown_once_expire_and_are_revoked(site: Served) -> None:
    user_id = newcomer(site, "tokens")
    with signed_in(site.address, "tokens") as person:
        shown = person.http.post("/account/tokens", data={"name": "a robot", "days": "1"}).text
        value = shown.split("<code>")[1].split("</code>")[0]
        assert value.startswith("wbt_")
        assert value not in person.http.get("/account").text
    robot = {"Authorization": f"Bearer {value}"}
    with client(site.address, headers=robot) as http:
        assert http.get("/api/v1/me").json()["actor"]["user_id"] == user_id
        assert http.post("/api/v1/conditions", json={"title": "x"}).status_code == 201
        assert http.get("/").status_code == 303, "a token opens no pages"
        assert http.post("/api/v1/tokens", json={"name": "heir"}).status_code == 403, "nor makes heirs"
        (about,) = http.get("/api/v1/tokens").json()
        assert http.delete(f"/api/v1/tokens/{about['id']}").status_code == 204
        assert http.get("/api/v1/me").status_code == 401
    gone = accounts.issue_token(site.store, accounts.CONSOLE, "short", days=1e-9, user_id=user_id)
    time.sleep(0.01)
    with client(site.address, headers={"Authorization": f"Bearer {gone}"}) as http:
        assert http.get("/api/v1/me").status_code == 401


def test_somebody_signed_in_finds_the_own_account(site: Served) -> None:
    newcomer(site, "account")
    with signed_in(site.address, "account") as person:
        assert isinstance(person, Person)
        text = person.http.get("/account").text
    assert "Signed in as account (editor)" in text

"""Two people at once: nobody reaches what is another's, by page, address, API or file route."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from workbench.service import accounts
from workbench.service.kinds import Role

from .people import PASSWORD, Person, client, contents, signed_in
from .serve import Served

IDENTIFIERS = (
    "condition_id",
    "scan_id",
    "job_id",
    "version_id",
    "class_id",
    "user_id",
    "token_id",
    "artefact_id",
)


@pytest.fixture(scope="module")
def bens(department: Served, phantoms: Path) -> dict[str, str]:
    """Identifiers of one of everything that is ben's."""
    with signed_in(department.address, "ben") as ben:
        condition = ben.condition("smooth", "spiculated")
        files = contents(phantoms)
        job = ben.bring(condition, files)
        assert job["state"] == "done", job
        ben.ask("POST", f"/api/v1/conditions/{condition}/hints")
        adapted = ben.done(ben.ask("POST", f"/api/v1/conditions/{condition}/adapt")["id"])
        assert adapted["state"] == "done", adapted
        open_import = ben.ask("POST", f"/api/v1/conditions/{condition}/imports", json={})["job"]
        about = ben.ask("GET", f"/api/v1/conditions/{condition}")
        token = ben.ask("POST", "/api/v1/tokens", json={"name": "ben's"})["token"]
        assert token
        job_of_case = ben.bring(condition, files[:1], role="case")
        assert job_of_case["state"] == "done", job_of_case
        case = ben.ask("GET", f"/api/v1/conditions/{condition}/cases")[0]["scan"]["id"]
        ben.done(ben.ask("POST", f"/api/v1/scans/{case}/evidence")["id"])
        export = ben.ask("POST", f"/api/v1/conditions/{condition}/exports", json={"what": "card"})
        assert ben.done(export["id"])["state"] == "done"
        return {
            "condition_id": condition,
            "scan_id": case,
            "index": "0",
            "form": "csv",
            "artefact_id": ben.ask("GET", f"/api/v1/conditions/{condition}/artefacts")[0]["id"],
            "job_id": job["id"],
            "open_import": open_import,
            "version_id": ben.ask("GET", f"/api/v1/conditions/{condition}/versions")[0]["id"],
            "class_id": about["classes"][0]["id"],
            "user_id": ben.ask("GET", "/api/v1/me")["actor"]["user_id"],
            "token_id": ben.ask("GET", "/api/v1/tokens")[0]["id"],
        }


def example_of(schema: dict[str, Any], whole: dict[str, Any], given: dict[str, str]) -> Any:
    """Something the schema accepts, with another's identifiers in it."""
    if "$ref" in schema:
        return example_of(whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]], whole, given)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], whole, given)
    if schema.get("type") == "object":
        needed = schema.get("required", [])
        return {
            name: given.get(name) or example_of(part, whole, given)
            for name, part in schema.get("properties", {}).items()
            if name in needed
        }
    if schema.get("type") == "array":
        return [example_of(schema["items"], whole, given) for _ in range(schema.get("minItems", 0))]
    if schema.get("pattern", "").startswith("^[0-9]+("):
        return "1.2.3"  # a unique identifier of DICOM
    plain = {"string": given["class_id"], "integer": 1, "number": 1.0, "boolean": True, "null": None}
    return plain[schema["type"]]


def every_request(http: httpx.Client, given: dict[str, str]) -> list[tuple[str, str, dict[str, Any]]]:
    """Each documented route that names something, filled with the identifiers: method, path, arguments."""
    whole = http.get("/api/v1/openapi.json").json()
    requests = []
    for path, methods in whole["paths"].items():
        names = re.findall(r"{(\w+)}", path)
        if not names:
            continue
        for method, about in methods.items():
            own = dict(given)
            if path.startswith("/api/v1/imports/"):
                own["job_id"] = given["open_import"]
            filled = path
            for name in names:
                filled = filled.replace(f"{{{name}}}", own[name])
            content = about.get("requestBody", {}).get("content", {})
            arguments: dict[str, Any] = {}
            if "application/json" in content:
                arguments["json"] = example_of(content["application/json"]["schema"], whole, own)
            elif "multipart/form-data" in content:
                arguments["files"] = [("file", ("a.png", b"x"))]
            requests.append((method.upper(), filled, arguments))
    return requests


ADMINISTRATION = re.compile(r"/api/v1/(users|tokens)")


def test_every_documented_route_answers_404_with_anothers_identifiers(
    department: Served, bens: dict[str, str]
) -> None:
    accounts.create_user(department.store, accounts.CONSOLE, "eve", Role.EDITOR, PASSWORD)
    with signed_in(department.address, "eve") as eve, signed_in(department.address, "ben") as ben:
        before = ben.ask("GET", f"/api/v1/conditions/{bens['condition_id']}")
        requests = every_request(eve.http, bens)
        assert len(requests) > 25
        for method, path, arguments in requests:
            answer = eve.http.request(method, path, **arguments)
            expected = {403, 404} if path.startswith("/api/v1/users") else {404}
            assert answer.status_code in expected, f"{method} {path}: {answer.status_code} {answer.text}"
            assert answer.headers["content-type"] == "application/problem+json"
        assert ben.ask("GET", f"/api/v1/conditions/{bens['condition_id']}") == before


def test_an_administrator_sees_no_others_scans_either(
    department: Served, ada: Person, bens: dict[str, str]
) -> None:
    for method, path, arguments in every_request(ada.http, bens):
        if not ADMINISTRATION.match(path):
            assert ada.http.request(method, path, **arguments).status_code == 404, f"{method} {path}"


def test_nobody_is_told_more_than_that_they_are_not_signed_in(
    department: Served, ada: Person, bens: dict[str, str]
) -> None:
    with client(department.address, headers={"X-Workbench": "1"}) as nobody:
        for method, path, arguments in every_request(ada.http, bens):
            assert nobody.request(method, path, **arguments).status_code == 401, f"{method} {path}"


def test_what_is_anothers_and_what_is_not_there_are_told_alike(
    department: Served, ada: Person, bens: dict[str, str]
) -> None:
    nothing = {name: "0" * 32 if len(value) == 32 else value for name, value in bens.items()}
    theirs, missing = every_request(ada.http, bens), every_request(ada.http, nothing)
    for (method, path, arguments), (_, absent, others) in zip(theirs, missing, strict=True):
        if not ADMINISTRATION.match(path):
            told = ada.http.request(method, path, **arguments), ada.http.request(method, absent, **others)
            assert told[0].json() == told[1].json(), f"{method} {path}"


def test_the_owner_is_answered_by_the_same_routes(department: Served, bens: dict[str, str]) -> None:
    with signed_in(department.address, "ben") as ben:
        found = 0
        for method, path, arguments in every_request(ben.http, bens):
            if method == "GET":
                assert ben.http.request(method, path, **arguments).status_code == 200, path
                found += 1
        assert found >= 10


def test_lists_hold_ones_own_only(department: Served, ada: Person, bens: dict[str, str]) -> None:
    listed = ada.ask("GET", "/api/v1/conditions", params={"archived": True})
    assert bens["condition_id"] not in [one["id"] for one in listed]


def test_a_reader_may_look_at_what_is_shared_and_not_change_it(
    department: Served, bens: dict[str, str]
) -> None:
    condition = bens["condition_id"]
    with signed_in(department.address, "ben") as ben, signed_in(department.address, "cy") as cy:
        ben.ask("PUT", f"/api/v1/conditions/{condition}/shares", json={"name": "cy", "level": "edit"})
        assert cy.http.get(f"/files/preview/{bens['scan_id']}").status_code == 200
        assert cy.http.post(f"/api/v1/conditions/{condition}/adapt").status_code == 403
        assert cy.http.delete(f"/api/v1/conditions/{condition}").status_code == 403
        ben.ask("PUT", f"/api/v1/conditions/{condition}/shares", json={"name": "cy", "level": None})
        assert cy.http.get(f"/files/preview/{bens['scan_id']}").status_code == 404


def test_what_a_browser_may_keep_it_keeps_for_one_sign_in(department: Served, bens: dict[str, str]) -> None:
    with signed_in(department.address, "ben") as ben:
        headers = ben.http.get(f"/files/preview/{bens['scan_id']}").headers
    assert headers["cache-control"].startswith("private")
    assert "cookie" in headers["vary"]


def test_a_page_belongs_to_who_opened_it(department: Served, ada: Person, ben: Person) -> None:
    key = "ab12cd34ef5"
    own = {"Origin": department.address}
    joined = {"data": [], "fn_index": 0, "session_hash": key}
    assert ben.http.post("/gradio_api/queue/join", json=joined, headers=own).status_code == 200
    assert ada.http.post("/gradio_api/queue/join", json=joined, headers=own).status_code == 404
    assert ada.http.get(f"/gradio_api/queue/data?session_hash={key}").status_code == 404
    assert ada.http.get(f"/gradio_api/heartbeat/{key}").status_code == 404
    assert (
        ada.http.post(
            "/gradio_api/cancel", json={"session_hash": key, "fn_index": 0, "event_id": "x"}
        ).status_code
        == 404
    )

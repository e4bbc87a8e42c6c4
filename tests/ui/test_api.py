"""The HTTP API: the whole way over it with a token, and its documentation."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.service import accounts

from .people import Person, client, contents
from .serve import Served


@pytest.fixture(scope="module")
def whole(department: Served) -> dict[str, Any]:
    """The OpenAPI document."""
    user = accounts.user_named(department.store, accounts.CONSOLE, "ben")
    token = accounts.issue_token(department.store, accounts.CONSOLE, "documentation", user_id=user.id)
    with client(department.address, headers={"Authorization": f"Bearer {token}"}) as http:
        document: dict[str, Any] = http.get("/api/v1/openapi.json").json()
        return document


def test_the_whole_way_over_http_with_a_token(department: Served, phantoms: Path) -> None:
    user = accounts.user_named(department.store, accounts.CONSOLE, "ben")
    token = accounts.issue_token(department.store, accounts.CONSOLE, "an integrator", user_id=user.id)
    with client(department.address, headers={"Authorization": f"Bearer {token}"}) as http:
        robot = Person(http)
        files = contents(phantoms)
        labelled, new = [*files[:4], *files[6:10]], [*files[4:6], *files[10:]]  # six files of each class
        condition = robot.condition("smooth", "spiculated", title="over HTTP")
        at = f"/api/v1/conditions/{condition}"

        assert robot.bring(condition, labelled)["state"] == "done"
        (batch,) = robot.ask("GET", f"{at}/imports")
        assert len(batch["scans"]) == len(labelled)
        assert not batch["refused"]
        scans = robot.ask("GET", f"{at}/scans")
        assert [scan["number"] for scan in scans] == list(range(1, len(labelled) + 1))
        classes = {one["name"]: one["id"] for one in robot.ask("GET", at)["classes"]}

        first, second = scans[:2]
        robot.ask("PUT", f"/api/v1/scans/{first['id']}/label", json={"class_id": classes[first["hint"]]})
        robot.ask("PUT", f"/api/v1/scans/{second['id']}/label", json={"class_id": None, "unsure": True})
        assert robot.ask("POST", f"{at}/undo")["scan_id"] == second["id"]
        robot.ask("DELETE", f"/api/v1/scans/{second['id']}")
        assert len(robot.ask("GET", f"{at}/scans")) == len(scans) - 1
        robot.ask("POST", f"/api/v1/scans/{second['id']}/restore")
        assert robot.ask("POST", f"{at}/hints")["labelled"] == len(scans) - 1
        assert robot.ask("GET", at)["status"] == "ready"

        job = robot.ask("POST", f"{at}/adapt", json={"method": ""})
        assert robot.done(job["id"])["state"] == "done"
        (version,) = robot.ask("GET", f"{at}/versions")
        accuracy = version["result"]["accuracy"]
        assert accuracy["n"] == len(labelled)
        assert 0 <= accuracy["low"] <= accuracy["high"] <= 1

        assert robot.bring(condition, new, role="case")["state"] == "done"
        for waiting in robot.ask("GET", f"{at}/jobs"):
            robot.done(waiting["id"])
        cases = robot.ask("GET", f"{at}/cases")
        assert len(cases) == len(new)
        for case in cases:
            assert sum(case["reading"]["probabilities"]) == pytest.approx(1)
        case = cases[0]["scan"]["id"]
        robot.ask("PUT", f"/api/v1/scans/{case}/own", json={"class_id": classes["smooth"]})
        robot.ask("PUT", f"/api/v1/scans/{case}/verdict", json={"verdict": "unsure"})
        assert robot.ask("GET", f"{at}/cases")[0]["verdict"] == "unsure"

        assert http.get(f"/files/preview/{case}").content.startswith(b"\xff\xd8")
        table = http.get(f"/files/readings/{condition}.csv").content.decode("utf-8-sig").splitlines()
        assert len(table) == len(new) + 1
        told = http.get(f"/files/readings/{condition}.json").json()
        assert sorted(one["case"] for one in told["cases"]) == sorted(one["scan"]["number"] for one in cases)
        assert http.get(f"/files/model/{version['id']}").headers["content-type"] == "application/octet-stream"

        about = robot.ask("GET", at)
        draft = {"title": "renamed", "classes": ["smooth", "spiculated"], "revision": about["revision"]}
        robot.ask("PUT", at, json=draft)
        stale = http.put(at, json=draft)
        assert (stale.status_code, stale.headers["content-type"]) == (409, "application/problem+json")
        robot.ask("DELETE", at)
        assert http.get(at).status_code == 404


def test_a_slice_arrives_as_it_is_documented(ben: Person, phantoms: Path) -> None:
    import pydicom

    (name, content), *_ = contents(phantoms)
    condition = ben.condition("smooth", "spiculated", title="a slice")
    ben.bring(condition, [(name, content)])
    (scan,) = ben.ask("GET", f"/api/v1/conditions/{condition}/scans")
    body = ben.http.get(f"/files/slice/{scan['id']}/0").content
    (length,) = struct.unpack("<I", body[:4])
    header = json.loads(body[4 : 4 + length])
    values = np.frombuffer(body[4 + length :], dtype="<u2").reshape(header["rows"], header["columns"])
    read = pydicom.dcmread(phantoms / name)
    expected = read.pixel_array * float(read.RescaleSlope) + float(read.RescaleIntercept)
    np.testing.assert_allclose(values * header["slope"] + header["intercept"], expected)
    assert length % 4 == 0
    assert ben.http.get(f"/files/slice/{scan['id']}/99").status_code in (404, 422)


def test_every_route_field_and_answer_is_described(whole: dict[str, Any]) -> None:
    for path, methods in whole["paths"].items():
        for method, about in methods.items():
            told = f"{method.upper()} {path}"
            assert about.get("summary"), told
            assert len(about.get("description", "")) > 10, told
            assert about["tags"], told
            if path != "/health":
                assert {"401", "404", "422"} <= set(about["responses"]), told
    for name, schema in whole["components"]["schemas"].items():
        if "ValidationError" not in name:
            assert schema.get("description"), name
    assert "research use" in whole["info"]["description"]


def test_names_of_routes_are_told_once(whole: dict[str, Any]) -> None:
    names = [about["operationId"] for methods in whole["paths"].values() for about in methods.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/api/v1/conditions", {"title": ""}, "body.title"),
        ("/api/v1/conditions", {"title": "x", "clases": ["a", "b"]}, "body.clases"),
        ("/api/v1/conditions", {"title": "x", "miss_cost": -1}, "body.miss_cost"),
        ("/api/v1/tokens", {"name": "x", "days": 0}, "body.days"),
    ],
)
def test_what_cannot_be_used_is_told_by_field_and_never_repeated(
    ben: Person, path: str, body: dict[str, Any], said: str
) -> None:
    answer = ben.http.post(path, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(said in line for line in answer.json()["errors"])
    secret = ben.http.post("/api/v1/conditions", json={"title": ["patient 4711"]})
    assert "4711" not in secret.text


def test_errors_of_the_service_keep_their_words(ben: Person) -> None:
    condition = ben.condition()
    answer = ben.http.post(f"/api/v1/conditions/{condition}/adapt")
    assert answer.status_code == 422
    assert "abel" in answer.json()["title"]


def test_an_administrator_manages_people_and_others_do_not(
    department: Served, ada: Person, ben: Person
) -> None:
    body = {"name": "dora", "role": "reader", "password": "a good password"}
    assert ben.http.post("/api/v1/users", json=body).status_code == 403
    made = ada.ask("POST", "/api/v1/users", json=body)
    assert ada.http.post("/api/v1/users", json=body).status_code == 422
    ada.ask("PUT", f"/api/v1/users/{made['id']}/quota", json={"bytes": 5})
    edited = ada.ask("PATCH", f"/api/v1/users/{made['id']}", json={"role": "editor", "active": False})
    assert (edited["role"], edited["active"], edited["quota"]) == ("editor", False, 5)
    half = {"role": "reader", "password": "short"}
    assert ada.http.patch(f"/api/v1/users/{made['id']}", json=half).status_code == 422
    last = {"password": "another good one", "active": False}
    me = ada.ask("GET", "/api/v1/me")["actor"]["user_id"]
    assert ada.http.patch(f"/api/v1/users/{me}", json=last).status_code == 403, (
        "the last one, password and all"
    )
    kept = {one["name"]: one["role"] for one in ada.ask("GET", "/api/v1/users")}
    assert kept["dora"] == "editor", "neither or both"
    assert "dora" in [one["name"] for one in ada.ask("GET", "/api/v1/users")]
    assert ada.http.patch(f"/api/v1/users/{me}", json={"role": "reader"}).status_code == 403, "the last one"


def test_the_audit_trail_is_for_administrators(ada: Person, ben: Person) -> None:
    assert ben.http.get("/files/audit").status_code == 403
    lines = [json.loads(line) for line in ada.http.get("/files/audit").text.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    me = ada.ask("GET", "/api/v1/me")["actor"]["user_id"]
    assert (lines[-1]["action"], lines[-1]["actor"]) == ("audit.export", me), "who took it is in it"


def test_health_says_whether_workers_run(department: Served) -> None:
    with client(department.address) as http:
        told = http.get("/health").json()
    assert told["status"] == "ok"
    assert (told["workers"]["wanted"], told["workers"]["running"]) == (1, 1)


def test_a_reader_at_a_shared_workstation_signs_with_another_name(address: str) -> None:
    with client(address, headers={"X-Workbench": "1"}) as one, client(address) as other:
        one.get("/")
        other.get("/")
        assert one.put("/api/v1/me/reader", json={"reader": "Dr Second"}).status_code == 204
        assert one.get("/api/v1/me").json()["actor"]["reader"] == "Dr Second"
        assert other.get("/api/v1/me").json()["actor"]["reader"] == "local reader"

"""Administration of accounts over HTTP: roles, states, departments; rows A1, A27 and A35 of docs/security.md."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.administration.service import AdministrationService
from domain.access import Caller
from domain.errors import Conflict
from domain.events import Event
from domain.ids import new_id
from domain.jobs import Stage
from stores.intake import Intake
from stores.jobs import JobStore
from stores.postgres import Postgres
from tests.contract.auth.people import Person, client_of
from tests.contract.auth.staff import REASON, Staff

SETTLED = 0.6
"""Seconds after which no process believes an older state of a session."""


async def test_a1_a_doctor_is_made_by_an_administrator(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.applicant()
    seen = (await staff.act(admin, "GET", person)).json()
    assert (seen["role"], seen["requested_role"], seen["status"]) == ("patient", "doctor", "active")
    assert seen["requested_at"] is not None
    assert seen["last_login_at"] is not None
    approved = await staff.act(admin, "POST", person, "approve", {"role": "doctor"})
    assert approved.status_code == 200
    assert (approved.json()["role"], approved.json()["requested_role"]) == ("doctor", None)
    await asyncio.sleep(SETTLED)
    assert (await person.me()).status_code == 401
    renewed = await person.refresh()
    person.tokens = renewed.json()
    assert (await person.me()).json()["role"] == "doctor"
    assert await staff.events("user.role_changed", person) == [
        {"user_id": str(staff.ids[person.name]), "outcome": "success"}
    ]
    (record,) = await staff.records("account.role_approved", person)
    assert (record["actor"], record["role"], record["outcome"]) == (
        f"user:{staff.ids[admin.name]}", "admin", "success"
    )  # fmt: skip
    again = await staff.act(admin, "POST", person, "approve", {"role": "doctor"})
    assert (again.status_code, again.json()["code"]) == (409, "account.request_changed")


async def test_id1_only_the_role_that_is_asked_for_is_approved(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.applicant()
    other = await staff.act(admin, "POST", person, "approve", {"role": "nurse"})
    assert (other.status_code, other.json()["code"]) == (409, "account.request_changed")
    for role in ("admin", "service", "privacy_officer"):
        assert (await staff.act(admin, "POST", person, "approve", {"role": role})).status_code == 422
    assert (await staff.act(admin, "GET", person)).json()["role"] == "patient"


async def test_a_refusal_has_a_reason_and_leaves_the_account_as_it_is(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.applicant()
    assert (await staff.act(admin, "POST", person, "refuse", {})).status_code == 422
    refused = (await staff.act(admin, "POST", person, "refuse", REASON)).json()
    assert (refused["role"], refused["requested_role"], refused["requested_at"]) == ("patient", None, None)
    (record,) = await staff.records("account.role_refused", person)
    assert record["reason"] == REASON["reason"]
    again = await staff.act(admin, "POST", person, "refuse", REASON)
    assert (again.status_code, again.json()["code"]) == (409, "account.request_changed")


async def test_id1_nobody_decides_on_the_own_account(staff: Staff) -> None:
    admin = await staff.person("admin")
    head = await staff.person("department_admin", "cardiology")
    own: list[tuple[str, str, Any]] = [
        ("POST", "approve", {"role": "doctor"}),
        ("POST", "refuse", REASON),
        ("PUT", "role", {"role": "doctor", **REASON}),
        ("POST", "suspend", REASON),
        ("POST", "activate", REASON),
        ("POST", "unlock", REASON),
        ("PUT", "departments", {"departments": ["icu"]}),
        ("PUT", "own-record", {"patient": "LAB|1"}),
        ("DELETE", "own-record", None),
    ]
    for person in (admin, head):
        for method, path, body in own:
            answer = await staff.act(person, method, person, path, body)
            assert (answer.status_code, answer.json()["code"]) == (403, "access.forbidden"), path
    denied = await staff.records("account.suspended", admin)
    assert [(record["outcome"], record["reason"]) for record in denied] == [("denied", "access.forbidden")]


async def test_an_approval_caps_the_session(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.applicant()
    await staff.act(admin, "POST", person, "approve", {"role": "doctor"})
    (session,) = await staff.fetch(
        "SELECT expires_at - created_at AS life FROM session WHERE account_id = $1", staff.ids[person.name]
    )
    assert session["life"] == timedelta(days=1)


async def test_department_administrators_are_limited_to_their_departments(staff: Staff) -> None:
    head = await staff.person("department_admin", "cardiology")
    own = await staff.applicant("cardiology")
    foreign = await staff.applicant("oncology")
    nobodys = await staff.applicant()
    listed = await head.client.get("/api/v1/admin/accounts?requested=any&limit=100", headers=head.bearer)
    names = {item["username"] for item in listed.json()["items"]}
    assert own.name in names
    assert not {foreign.name, nobodys.name} & names
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("POST", "approve", {"role": "doctor"}),
        ("POST", "suspend", REASON),
        ("POST", "unlock", REASON),
        ("PUT", "own-record", {"patient": "LAB|1"}),
    ]
    for method, path, body in calls:
        missing = await staff.act(head, method, new_id(), path, body)
        for person in (foreign, nobodys):
            answer = await staff.act(head, method, person, path, body)
            assert answer.status_code == 404
            assert answer.json() | {"instance": ""} == missing.json() | {"instance": ""}
        assert (await staff.act(head, method, own, path, body)).status_code == 200, path
    assert (await staff.act(head, "PUT", own, "departments", {"departments": []})).status_code == 403
    assert (await staff.act(head, "PUT", own, "role", {"role": "admin", **REASON})).status_code == 403


@pytest.mark.parametrize("role", ["admin", "privacy_officer", "department_admin"])
async def test_department_administrators_leave_those_alone_who_supervise(staff: Staff, role: str) -> None:
    head = await staff.person("department_admin", "cardiology")
    above = await staff.person(role, "cardiology")
    answer = await staff.act(head, "POST", above, "suspend", REASON)
    assert (answer.status_code, answer.json()["code"]) == (403, "access.forbidden")
    assert (await above.me()).status_code == 200


@pytest.mark.parametrize(
    "role", ["patient", "nurse", "doctor", "researcher", "records_manager", "privacy_officer"]
)
async def test_other_roles_administer_nothing(staff: Staff, role: str) -> None:
    person = await staff.person(role, "cardiology")
    for method, path in (("GET", "accounts"), ("GET", f"accounts/{new_id()}"), ("GET", "treatments")):
        answer = await person.client.request(method, f"/api/v1/admin/{path}", headers=person.bearer)
        assert (answer.status_code, answer.json()["code"]) == (403, "access.forbidden")


async def test_a27_a_suspension_ends_all_sessions_for_good(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.person("doctor")
    suspended = await staff.act(admin, "POST", person, "suspend", REASON)
    assert suspended.json()["status"] == "suspended"
    await asyncio.sleep(SETTLED)
    assert (await person.me()).status_code == 401
    assert (await person.refresh()).status_code == 401
    assert (await Person(person.client, name=person.name).login()).status_code == 401
    activated = await staff.act(admin, "POST", person, "activate", REASON)
    assert activated.json()["status"] == "active"
    await asyncio.sleep(SETTLED)
    assert (await person.me()).status_code == 401
    assert (await person.refresh()).status_code == 401
    assert (await person.login()).status_code == 200
    assert len(await staff.events("user.status_changed", person)) == 2
    for event in ("account.suspended", "account.activated"):
        (record,) = await staff.records(event, person)
        assert (record["outcome"], record["reason"]) == ("success", REASON["reason"])


async def test_a35_documents_already_accepted_are_processed_and_no_new_ones_come(
    staff: Staff, documents: httpx.AsyncClient, quick: Settings, secrets: SecretStore
) -> None:
    admin, person = await staff.person("admin"), await staff.person("doctor")

    async def upload(content: bytes) -> httpx.Response:
        return await documents.post("/api/v1/documents", content=content, headers=person.bearer)

    accepted = UUID((await upload(b"%PDF-1.4 a")).json()["id"])
    await staff.act(admin, "POST", person, "suspend", REASON)
    await asyncio.sleep(SETTLED)
    assert (await upload(b"%PDF-1.4 b")).status_code == 401
    store, queue = Postgres.of(quick, secrets, "document"), Postgres.of(quick, secrets, "processing")
    async with store.connection() as connection:
        uploaded = await connection.fetchval(
            "SELECT body FROM outbox WHERE kind = 'event' AND body ->> 'subject' = $1", str(accepted)
        )
    jobs = JobStore(queue, quick.processing)
    async with queue.transaction() as connection:
        await connection.execute("DELETE FROM job")
        await Intake(jobs).apply(connection, Event.from_cloudevent(uploaded))
    [lease] = await jobs.claim([Stage.EXTRACT], "worker")
    assert lease.document_id == accepted
    await jobs.complete_stage(lease, f"artefacts/{accepted}", {}, keep=True)
    for db in (store, queue):
        await db.close()


async def test_a_closed_account_is_not_activated(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.person("nurse")
    await staff.fetch("UPDATE account SET status = 'closed' WHERE id = $1", staff.ids[person.name])
    answer = await staff.act(admin, "POST", person, "activate", REASON)
    assert (answer.status_code, answer.json()["code"]) == (409, "account.closed")


async def test_the_last_administrator_stays(staff: Staff, app: FastAPI) -> None:
    first, second = await staff.person("admin"), await staff.person("admin")
    pair = [staff.ids[first.name], staff.ids[second.name]]
    others = await staff.fetch(
        "UPDATE account SET status = 'suspended' WHERE role = 'admin' AND status = 'active' AND id <> ALL ($1)"
        " RETURNING id",
        pair,
    )
    service: AdministrationService = app.state.administration
    callers = [Caller(str(one), "admin", frozenset({f"user:{one}", "role:admin"})) for one in pair]
    results = await asyncio.gather(
        service.assign(callers[0], pair[1], "doctor", "swapped"),
        service.suspend(callers[1], pair[0], "swapped"),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, Conflict)]
    assert [error.code for error in refused] == ["account.last_admin"]
    assert len(await staff.fetch("SELECT 1 FROM account WHERE role = 'admin' AND status = 'active'")) == 1
    await staff.fetch(
        "UPDATE account SET status = 'active', role = 'admin' WHERE id = ANY ($1)",
        [*pair, *(row["id"] for row in others)],
    )


async def test_an_administrator_assigns_any_role(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.person("nurse")
    answer = await staff.act(admin, "PUT", person, "role", {"role": "privacy_officer", **REASON})
    assert answer.json()["role"] == "privacy_officer"
    (record,) = await staff.records("account.role_changed", person)
    assert record["reason"] == REASON["reason"]
    assert (await staff.act(admin, "PUT", person, "role", {"role": "service", **REASON})).status_code == 422


async def test_unlock_lets_the_owner_try_again(staff: Staff, app: FastAPI) -> None:
    admin, person = await staff.person("admin"), await staff.person("doctor")
    strange = Person(person.client, name=person.name)
    async with client_of(app, "198.51.100.7") as elsewhere:
        strange.client = elsewhere
        answers = [(await strange.login(password="wrong password 1")).status_code for _ in range(12)]
        assert answers[-1] == 429
        unlocked = await staff.act(admin, "POST", person, "unlock", REASON)
        assert unlocked.status_code == 200
        assert (await strange.login()).status_code == 200
    (record,) = await staff.records("account.unlocked", person)
    assert record["reason"] == REASON["reason"]


async def test_accounts_are_found_and_paged(staff: Staff) -> None:
    admin = await staff.person("admin")
    people = [await staff.person("nurse", "ward-" + admin.name) for _ in range(3)]
    url = "/api/v1/admin/accounts"
    query = {"department": "ward-" + admin.name, "role": "nurse", "status": "active", "limit": "2"}
    first = (await staff.client.get(url, params=query, headers=admin.bearer)).json()
    second = (
        await staff.client.get(url, params={**query, "cursor": first["next_cursor"]}, headers=admin.bearer)
    ).json()
    names = [item["username"] for item in first["items"] + second["items"]]
    assert names == [person.name for person in reversed(people)]
    assert second["next_cursor"] is None
    foreign = await staff.client.get(
        url, params={"limit": "2", "cursor": first["next_cursor"]}, headers=admin.bearer
    )
    assert (foreign.status_code, foreign.json()["code"]) == (410, "cursor.gone")
    by_name = await staff.client.get(url, params={"q": people[0].name.upper()}, headers=admin.bearer)
    assert [item["username"] for item in by_name.json()["items"]] == [people[0].name]
    (*_, record) = await staff.records("account.list")
    assert record["sealed"] is not None
    assert people[0].name.upper() not in str(record)
    assert (await staff.client.get(url + "?is_admin=1", headers=admin.bearer)).status_code == 422


async def test_departments_are_set_as_a_whole(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.person("doctor", "icu", "surgery")
    put = {"departments": ["surgery", "cardiology"]}
    answer = await staff.act(admin, "PUT", person, "departments", put)
    assert answer.json()["departments"] == ["cardiology", "surgery"]
    await asyncio.sleep(SETTLED)
    assert (await person.me()).json()["departments"] == ["cardiology", "surgery"]
    assert len(await staff.records("account.departments_changed", person)) == 1


async def test_the_own_record_is_set_by_staff_alone(staff: Staff) -> None:
    admin, person = await staff.person("admin"), await staff.person("patient")
    for patient in ("LAB|1", "LAB|2"):
        answer = await staff.act(admin, "PUT", person, "own-record", {"patient": patient})
        assert answer.json()["own_record"] == patient
    assert (await staff.act(admin, "PUT", person, "own-record", {"patient": "4711"})).status_code == 422
    records = await staff.records("account.own_record_set", person)
    assert [record["patient"] for record in records] == ["LAB|1", "LAB|2"]
    assert (await staff.act(admin, "DELETE", person, "own-record")).json()["own_record"] is None
    researcher = await staff.person("researcher")
    unsuited = await staff.act(admin, "PUT", researcher, "own-record", {"patient": "LAB|1"})
    assert (unsuited.status_code, unsuited.json()["code"]) == (409, "account.role_unsuited")


def _ahead(days: float = 1) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


async def test_treatment_relations_begin_are_listed_and_end(staff: Staff) -> None:
    admin, doctor = await staff.person("admin"), await staff.person("doctor", "icu")
    head, stranger = (
        await staff.person("department_admin", "icu"),
        await staff.person("department_admin", "x"),
    )
    url, body = "/api/v1/admin/treatments", {
        "account_id": str(staff.ids[doctor.name]), "patient": f"LAB|{doctor.name}", "ends_at": _ahead()
    }  # fmt: skip
    key = {"Idempotency-Key": doctor.name}
    begun = await staff.client.post(url, json=body, headers={**head.bearer, **key})
    again = await staff.client.post(url, json=body, headers={**head.bearer, **key})
    assert (begun.status_code, again.status_code) == (201, 201)
    assert begun.json() == again.json()
    assert begun.json()["set_by"] == str(staff.ids[head.name])
    assert (await staff.client.post(url, json=body, headers=stranger.bearer)).status_code == 404
    query = {"patient": body["patient"], "current": "true"}
    for person, count in ((admin, 1), (head, 1), (stranger, 0)):
        listed = await staff.client.get(url, params=query, headers=person.bearer)
        assert len(listed.json()["items"]) == count
    end = f"{url}/{begun.json()['id']}/end"
    hidden = await staff.client.post(end, json=REASON, headers=stranger.bearer)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "treatment.not_found")
    ended = await staff.client.post(end, json=REASON, headers=admin.bearer)
    assert ended.status_code == 200
    assert datetime.fromisoformat(ended.json()["ends_at"]) <= datetime.now(UTC)
    twice = await staff.client.post(end, json=REASON, headers=admin.bearer)
    assert (twice.status_code, twice.json()["code"]) == (409, "treatment.ended")
    for event in ("treatment.start", "treatment.end"):
        done = [record for record in await staff.records(event, doctor) if record["outcome"] == "success"]
        assert [record["patient"] for record in done] == [body["patient"]]


async def test_au5_what_administrators_are_shown_of_patients_is_recorded(staff: Staff) -> None:
    admin, doctor = await staff.person("admin"), await staff.person("doctor", "icu")
    ward = f"ward-{admin.name}"
    patients = [await staff.person("patient", ward) for _ in range(3)]
    for person in patients:
        await staff.act(admin, "PUT", person, "own-record", {"patient": f"LAB|{person.name}"})
        body = {
            "account_id": str(staff.ids[doctor.name]), "patient": f"LAB|{person.name}", "ends_at": _ahead()
        }  # fmt: skip
        await staff.client.post("/api/v1/admin/treatments", json=body, headers=admin.bearer)
    shown = {f"LAB|{person.name}" for person in patients[1:]}
    for path, event, asked in (
        ("accounts", "account.list", {"status": "active", "role": "patient", "department": ward, "q": "u"}),
        ("treatments", "treatment.list", {"account_id": str(staff.ids[doctor.name]), "current": "true"}),
    ):
        url = f"/api/v1/admin/{path}"
        listed = await staff.client.get(url, params={**asked, "limit": "2"}, headers=admin.bearer)
        assert len(listed.json()["items"]) == 2
        (*_, record) = await staff.records(event)
        assert set(record["patients"]) == shown, event
        assert {name: value.lower() for name, value in staff.names(record).items()} == asked
    assert (await staff.act(admin, "GET", patients[0])).status_code == 200
    (*_, record) = await staff.records("account.view", patients[0])
    assert record["patients"] == [f"LAB|{patients[0].name}"]


@pytest.mark.parametrize(
    ("role", "ends_at", "status"),
    [
        ("doctor", -1, 422),
        ("doctor", 400, 422),
        ("doctor", "2099-01-01T00:00:00", 422),
        ("doctor", "0001-01-01T00:00:00+01:00", 422),
        ("doctor", "9999-12-31T23:59:59-01:00", 422),
        ("patient", 1, 409),
        ("doctor", 1, 403),
    ],
)
async def test_a_treatment_relation_has_an_end_and_a_suitable_role(
    staff: Staff, role: str, ends_at: int | str, status: int
) -> None:
    """`ends_at` as it is sent, or in so many days."""
    admin, person = await staff.person("admin"), await staff.person(role)
    about: UUID = staff.ids[(admin if status == 403 else person).name]
    end = ends_at if isinstance(ends_at, str) else _ahead(ends_at)
    body = {"account_id": str(about), "patient": "LAB|1", "ends_at": end}
    answer = await staff.client.post("/api/v1/admin/treatments", json=body, headers=admin.bearer)
    assert answer.status_code == status

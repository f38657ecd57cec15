"""Emergency access: started with reason and password, noticed, counted in its session, ended and recorded."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from actors.glass_closer import BATCH, GlassCloser
from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Settings
from domain.access import counting
from stores.audit import PostgresAudit, opened
from stores.break_glass_ends import BreakGlassEnds
from stores.keyring import SecretKeys
from stores.ports import Sealed
from stores.postgres import Postgres
from stores.sessions import PostgresSessionDirectory
from stores.visibility import PostgresVisibility, Visible
from tests.contract.auth.people import PASSWORD, Person, add_treatment, principals
from tests.contract.auth.staff import REASON, Staff

URL = "/api/v1/users/me/break-glass"
WHY = "Unconscious in the emergency room"
POLICY = AccessPolicy.load()


def wish(patient: str = "LAB|7", **changes: Any) -> dict[str, Any]:
    return {"patient": patient, "reason": WHY, "minutes": 30, "current_password": PASSWORD} | changes


async def start(person: Person, key: str | None = None, **changes: Any) -> httpx.Response:
    headers = person.bearer | ({"Idempotency-Key": key} if key else {})
    return await person.client.post(URL, json=wish(**changes), headers=headers)


async def glass_records(staff: Staff, event: str, patient: str) -> list[dict[str, Any]]:
    return [record for record in await staff.records(event) if record["patient"] == patient]


@pytest.fixture
async def closer(quick: Settings, secrets: SecretStore) -> AsyncIterator[GlassCloser]:
    db, audit = Postgres.of(quick, secrets, "auth"), PostgresAudit.of(quick, secrets)
    yield GlassCloser(db, BreakGlassEnds(audit, POLICY.roles_of("breakglass")), every_seconds=0.05)
    await db.close()
    await audit.close()


async def test_ac10_it_opens_one_patients_documents_within_a_second_and_ends_at_once(
    staff: Staff, documents: httpx.AsyncClient, quick: Settings, secrets: SecretStore
) -> None:
    owner, doctor = await staff.person("doctor"), await staff.person("doctor")
    mine, other = f"LAB|{owner.name}", f"LAB|other-{owner.name}"
    ids = []
    for patient in (mine, other):
        uploaded = await documents.post(
            "/api/v1/documents", params={"patient": patient}, content=b"%PDF-1.4 x", headers=owner.bearer
        )
        ids.append(uploaded.json()["id"])
    db = Postgres.of(quick, secrets, "search")
    visibility = PostgresVisibility(db)
    await visibility.raise_to([Visible(UUID(ids[0]), 1, 1, (f"breakglass:{mine}",))])
    session = await _session(staff, doctor)
    view = Postgres.of(quick, secrets, "auth", "session-reader")
    directory = PostgresSessionDirectory(view, quick.auth.session_cache_seconds)

    async def seen() -> list[Any]:
        found = [
            (await documents.get(f"/api/v1/documents/{one}", headers=doctor.bearer)).status_code
            for one in ids
        ]
        state = await directory.lookup(session)
        assert state is not None
        counted = counting(state.principals, POLICY.kinds("doctor"))
        return [*found, len(await visibility.visible({UUID(ids[0]): 1}, counted))]

    assert await seen() == [404, 404, 0]
    begun = await start(doctor, patient=mine)
    assert begun.status_code == 201
    await asyncio.sleep(0.6)
    assert await seen() == [200, 404, 1]
    listed = await doctor.client.get(URL, headers=doctor.bearer)
    assert listed.json() == {"items": [begun.json()]}
    stopped = await doctor.client.delete(f"{URL}/{begun.json()['id']}", headers=doctor.bearer)
    assert (stopped.status_code, stopped.content) == (204, b"")
    await asyncio.sleep(0.6)
    assert await seen() == [404, 404, 0]
    await db.close()
    await view.close()


async def test_ac10_start_and_stop_are_recorded_and_the_reason_is_sealed(
    staff: Staff, quick: Settings, secrets: SecretStore
) -> None:
    keys = SecretKeys.of(quick, secrets)
    doctor = await staff.person("doctor")
    patient = f"LAB|{doctor.name}"
    begun = (await start(doctor, patient=patient)).json()
    life = datetime.fromisoformat(begun["ends_at"]) - datetime.fromisoformat(begun["started_at"])
    assert life == timedelta(minutes=30)
    await doctor.client.delete(f"{URL}/{begun['id']}", headers=doctor.bearer)
    session = str(await _session(staff, doctor))
    for event in ("breakglass.start", "breakglass.stop"):
        (record,) = await glass_records(staff, event, patient)
        assert (record["actor"], record["action"], record["session_id"]) == (
            f"user:{staff.ids[doctor.name]}", "E", session
        )  # fmt: skip
        assert WHY not in str(record)
        sealed = Sealed(
            **{name: b64decode(record["sealed"][name]) for name in ("ciphertext", "nonce")},
            key_name=record["sealed"]["key_name"],
        )
        _, names = opened(keys, UUID(record["id"]), sealed)
        assert names["id"] == begun["id"]
        assert names.get("reason") == (WHY if event == "breakglass.start" else None)
    again = await doctor.client.delete(f"{URL}/{begun['id']}", headers=doctor.bearer)
    assert (again.status_code, again.json()["code"]) == (404, "breakglass.not_found")


async def test_ac10_the_privacy_officers_are_told_at_once_and_not_of_whom(staff: Staff) -> None:
    officers = {staff.ids[(await staff.person("privacy_officer")).name] for _ in range(2)}
    doctor = await staff.person("doctor")
    begun = (await start(doctor, patient=f"LAB|{doctor.name}")).json()
    mails = await staff.fetch(
        "SELECT account_id, template, parameters FROM mail WHERE parameters ->> 'id' = $1", begun["id"]
    )
    assert officers <= {mail["account_id"] for mail in mails}
    assert {mail["template"] for mail in mails} == {"break_glass"}
    for mail in mails:
        assert f"LAB|{doctor.name}" not in str(mail)
        assert WHY not in str(mail)


async def test_without_a_privacy_officer_the_administrators_are_told(staff: Staff) -> None:
    admin, doctor = await staff.person("admin"), await staff.person("doctor")
    away = await staff.fetch(
        "UPDATE account SET status = 'suspended' WHERE role = 'privacy_officer' AND status = 'active' RETURNING id"
    )
    begun = (await start(doctor)).json()
    told = await staff.fetch("SELECT account_id FROM mail WHERE parameters ->> 'id' = $1", begun["id"])
    assert staff.ids[admin.name] in {row["account_id"] for row in told}
    await staff.fetch("UPDATE account SET status = 'active' WHERE id = ANY ($1)", [row["id"] for row in away])


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"current_password": "wrong password 1"}, 422),
        ({"reason": "too short"}, 422),
        ({"reason": "          x          "}, 422),
        ({"minutes": 61}, 422),
        ({"minutes": 0}, 422),
        ({"patient": "7"}, 422),
    ],
)
async def test_ac10_without_password_reason_and_limit_nothing_opens(
    staff: Staff, change: dict[str, Any], status: int
) -> None:
    doctor = await staff.person("doctor")
    assert (await start(doctor, **change)).status_code == status
    rows = await staff.fetch("SELECT 1 FROM break_glass WHERE account_id = $1", staff.ids[doctor.name])
    assert rows == []


@pytest.mark.parametrize(
    "role",
    ["patient", "nurse", "researcher", "records_manager", "privacy_officer", "department_admin", "admin"],
)
async def test_only_doctors_break_glass(staff: Staff, role: str) -> None:
    person = await staff.person(role)
    refused = await start(person)
    assert (refused.status_code, refused.json()["code"]) == (403, "access.forbidden")


async def test_one_at_a_time_and_a_repeated_request_is_one(staff: Staff) -> None:
    doctor = await staff.person("doctor")
    patient = f"LAB|{doctor.name}"
    first = await start(doctor, key="k1", patient=patient)
    again = await start(doctor, key="k1", patient=patient)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await start(doctor, key="k1", patient=patient, minutes=5)
    assert (other.status_code, other.json()["code"]) == (422, "request.idempotency_mismatch")
    second = await start(doctor, patient="LAB|8")
    assert (second.status_code, second.json()["code"]) == (409, "breakglass.open")
    assert len(await glass_records(staff, "breakglass.start", patient)) == 1


async def test_parallel_starts_open_one(staff: Staff) -> None:
    doctor = await staff.person("doctor")
    answers = await asyncio.gather(*(start(doctor, patient=f"LAB|{n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_it_counts_in_its_own_session_alone(
    staff: Staff, quick: Settings, secrets: SecretStore
) -> None:
    doctor = await staff.person("doctor")
    other = Person(doctor.client, name=doctor.name)
    await other.login()
    await start(doctor)
    sessions = await staff.fetch(
        "SELECT id FROM session WHERE account_id = $1 ORDER BY created_at", staff.ids[doctor.name]
    )
    counts = ["breakglass:LAB|7" in await principals(quick, secrets, row["id"]) for row in sessions]
    assert counts == [True, False]


async def test_what_ran_out_is_closed_and_recorded(staff: Staff, closer: GlassCloser) -> None:
    doctor = await staff.person("doctor")
    patient = f"LAB|{doctor.name}"
    begun = (await start(doctor, patient=patient)).json()
    await staff.fetch(
        "UPDATE break_glass SET started_at = now() - interval '31 min', ends_at = now() - interval '1 min'"
        " WHERE id = $1",
        UUID(begun["id"]),
    )
    while await closer.run_once() == BATCH:
        pass
    (record,) = await glass_records(staff, "breakglass.stop", patient)
    assert (record["actor"], record["reason"]) == ("system", "expired")
    assert record["on_behalf_of"] == f"user:{staff.ids[doctor.name]}"
    assert await closer.run_once() < BATCH
    assert len(await glass_records(staff, "breakglass.stop", patient)) == 1
    assert (await start(doctor, patient=patient)).status_code == 201


async def test_what_ran_out_does_not_stand_in_the_way(staff: Staff) -> None:
    doctor = await staff.person("doctor")
    patient = f"LAB|{doctor.name}"
    begun = (await start(doctor, patient=patient)).json()
    await staff.fetch(
        "UPDATE break_glass SET started_at = now() - interval '9 min', ends_at = now() - interval '1 s'"
        " WHERE id = $1",
        UUID(begun["id"]),
    )
    assert (await start(doctor, patient="LAB|8")).status_code == 201
    (record,) = await glass_records(staff, "breakglass.stop", patient)
    assert record["reason"] == "expired"


async def test_logging_out_ends_it(staff: Staff, closer: GlassCloser) -> None:
    doctor = await staff.person("doctor")
    patient = f"LAB|{doctor.name}"
    await start(doctor, patient=patient)
    await doctor.client.post("/api/v1/auth/logout", headers=doctor.bearer)
    await closer.run_once()
    (record,) = await glass_records(staff, "breakglass.stop", patient)
    assert record["reason"] == "session_ended"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "suspend", REASON), ("PUT", "role", {"role": "nurse", **REASON})],
)
async def test_suspension_and_another_role_end_it_at_once(
    staff: Staff, method: str, path: str, body: dict[str, Any]
) -> None:
    admin, doctor = await staff.person("admin"), await staff.person("doctor")
    patient = f"LAB|{doctor.name}"
    await start(doctor, patient=patient)
    assert (await staff.act(admin, method, doctor, path, body)).status_code == 200
    (record,) = await glass_records(staff, "breakglass.stop", patient)
    assert record["reason"] == "account_changed"


async def test_treatments_of_another_kind_are_not_touched(
    staff: Staff, quick: Settings, secrets: SecretStore
) -> None:
    doctor = await staff.person("doctor")
    ends = datetime.fromisoformat((await start(doctor)).json()["ends_at"])
    await add_treatment(quick, secrets, staff.ids[doctor.name], "LAB|9", ends)
    found = await principals(quick, secrets, await _session(staff, doctor))
    assert {"breakglass:LAB|7", "treating:LAB|9"} <= found


async def _session(staff: Staff, person: Person) -> UUID:
    rows = await staff.fetch(
        "SELECT id FROM session WHERE account_id = $1 ORDER BY created_at DESC", staff.ids[person.name]
    )
    return UUID(str(rows[0]["id"]))

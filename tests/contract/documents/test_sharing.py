"""Sharing over HTTP: who may, what is fixed, nothing lost in parallel, and how soon it counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from domain.access import Access
from domain.ids import new_id
from stores.audit import PostgresAudit
from stores.document_directory import PostgresDocumentDirectory
from stores.event_log import PostgresEventLog
from stores.postgres import Postgres
from stores.relay import Relay
from stores.visibility import PostgresVisibility, Visible, visibility_subscription
from tests.contract.documents.conftest import Account, World
from tests.contract.documents.test_lists import walk
from tests.contract.documents.uploading import PDF

WHY = "reviewed by the data protection team"


async def ask(
    account: Account, method: str, document_id: object, *, principal: str = "", **body: Any
) -> httpx.Response:
    """GET, POST or DELETE the access list; PUT the sensitivity."""
    path = f"/api/v1/documents/{document_id}/" + ("sensitivity" if method == "PUT" else "access")
    if method in ("GET", "DELETE"):
        return await account.client.request(
            method, path, params={"principal": principal} if principal else {}
        )
    return await account.client.request(method, path, json=body or {"principal": principal})


async def restrict(account: Account, document_id: str, sensitivity: str) -> httpx.Response:
    return await ask(account, "PUT", document_id, sensitivity=sensitivity, reason=WHY)


async def test_ac13_a_grant_counts_at_once_is_told_and_taken_back(
    world: World, directory: PostgresDocumentDirectory
) -> None:
    doctor, nurse = world.account(), world.account("nurse", "department:cardiology")
    document_id = await doctor.uploaded(PDF)
    assert (await nurse.get(document_id)).status_code == 404
    granted = await ask(doctor, "POST", document_id, principal="department:cardiology")
    assert granted.status_code == 200
    assert granted.json() == {
        "document_id": document_id, "revision": 2, "sensitivity": "normal",
        "items": [
            {"principal": f"user:{doctor.id}", "fixed": True, "effective": True},
            {"principal": "department:cardiology", "fixed": False, "effective": True},
        ],
    }  # fmt: skip
    assert (await nurse.get(document_id)).status_code == 200
    state = await directory.state(UUID(document_id))
    assert state is not None
    assert (state.revision, state.access) == (
        2, Access(frozenset({f"user:{doctor.id}", "department:cardiology"}))
    )  # fmt: skip
    revoked = await ask(doctor, "DELETE", document_id, principal="department:cardiology")
    assert revoked.json()["revision"] == 3
    assert (await nurse.get(document_id)).status_code == 404
    assert await walk(nurse) == []
    told = await world.events("document.access_changed")
    assert [(event["revision"], event["fields"]) for event in told] == [(2, ["access"]), (3, ["access"])]
    records = await world.audited("document.access_change")
    assert [(record["action"], record["actor"]) for record in records] == [("U", f"user:{doctor.id}")] * 2
    assert all(record["sealed"] for record in records)


async def test_what_is_there_already_or_is_not_there_changes_nothing(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, department="cardiology")
    for method, principal in (("POST", "department:cardiology"), ("DELETE", "department:icu")):
        assert (await ask(doctor, method, document_id, principal=principal)).json()["revision"] == 1
    assert (await restrict(doctor, document_id, "normal")).json()["revision"] == 1
    assert await world.events("document.access_changed") == []


async def test_owner_and_patient_stay(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, patient="MRN|1")
    fixed = [f"user:{doctor.id}", "self:MRN|1", "treating:MRN|1", "breakglass:MRN|1"]
    for principal in fixed:
        refused = await ask(doctor, "DELETE", document_id, principal=principal)
        assert (refused.status_code, refused.json()["code"]) == (409, "document.access_fixed")
    shown = (await ask(doctor, "GET", document_id)).json()["items"]
    assert sorted(item["principal"] for item in shown if item["fixed"]) == sorted(fixed)


@pytest.mark.parametrize(
    "principal",
    [
        "role:researcher",
        "role:doctor",
        "self:MRN|1",
        "treating:MRN|1",
        "breakglass:MRN|1",
        "user:me",
        "user:00000000-0000-0000-0000-00000000000g",
        "department:",
        "department: ",
        "department:a\nb",
        "everybody",
        "",
    ],
)
async def test_only_users_and_departments_are_granted(world: World, principal: str) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    assert (await ask(doctor, "POST", document_id, principal=principal)).status_code == 422
    assert len((await ask(doctor, "GET", document_id)).json()["items"]) == 1


async def test_who_may_share(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, department="cardiology")
    calls: list[dict[str, Any]] = [
        {"method": "GET"},
        {"method": "POST", "principal": "department:icu"},
        {"method": "DELETE", "principal": "department:icu"},
        {"method": "PUT", "sensitivity": "restricted", "reason": WHY},
    ]
    outcomes = [
        (world.account("doctor", "department:cardiology"), 403),
        (world.account("doctor"), 404),
        (world.account("nurse", "department:cardiology"), 403),
        (world.account("patient"), 403),
        (world.account("records_manager"), 403),
        (world.account("admin"), 403),
        (world.account("department_admin", "department:oncology"), 404),
        (world.account("department_admin", "department:cardiology"), 200),
        (doctor, 200),
    ]
    for call in calls:
        for account, status in outcomes:
            answer = await ask(account, document_id=document_id, **call)
            assert answer.status_code == status, (account.role, call)
            if status == 404:
                missing = await ask(account, document_id=new_id(), **call)
                assert answer.json() | {"instance": ""} == missing.json() | {"instance": ""}
    denied = [one for one in await world.audited("document.access_change") if one["outcome"] == "denied"]
    assert {record["actor"] for record in denied} >= {
        f"user:{outcomes[0][0].id}",
        f"user:{outcomes[1][0].id}",
    }


async def test_parallel_grants_are_all_kept(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    names = [f"department:d{n}" for n in range(20)]
    answers = await asyncio.gather(*(ask(doctor, "POST", document_id, principal=name) for name in names))
    assert {answer.status_code for answer in answers} == {200}
    shown = (await ask(doctor, "GET", document_id)).json()
    assert {item["principal"] for item in shown["items"]} == {f"user:{doctor.id}", *names}
    assert shown["revision"] == 21


async def test_a_full_list_takes_no_more(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await world.owner.execute(
        "UPDATE document SET access = access || ARRAY(SELECT 'department:d' || n FROM generate_series(1, 199) n)"
    )
    refused = await ask(doctor, "POST", document_id, principal="department:d201")
    assert (refused.status_code, refused.json()["code"]) == (409, "document.access_full")


async def test_sensitivity_decides_which_grants_open_and_can_be_undone(world: World) -> None:
    doctor, nurse = world.account(), world.account("nurse", "department:cardiology")
    document_id = await doctor.uploaded(PDF, department="cardiology")
    for sensitivity, status in (("restricted", 404), ("normal", 200)):
        changed = await restrict(doctor, document_id, sensitivity)
        effective = {item["principal"]: item["effective"] for item in changed.json()["items"]}
        assert effective["department:cardiology"] is (status == 200)
        assert (await nurse.get(document_id)).status_code == status
    without = await ask(doctor, "PUT", document_id, sensitivity="restricted")
    assert without.status_code == 422
    outcomes = [(one["outcome"], one["reason"]) for one in await world.audited("document.access_change")]
    assert outcomes.count(("success", WHY)) == 2
    assert [outcome for outcome, _ in outcomes].count("denied") == 1


async def test_a_document_is_opened_to_researchers_and_closed_again(world: World) -> None:
    doctor, researcher = world.account(), world.account("researcher")
    document_id = await doctor.uploaded(PDF)
    for sensitivity, status in (("deidentified", 200), ("normal", 404)):
        assert (await restrict(doctor, document_id, sensitivity)).status_code == 200
        assert (await researcher.get(document_id)).status_code == status


async def test_only_who_may_opens_documents_to_researchers(world: World) -> None:
    for role in ("patient", "nurse", "records_manager"):
        refused = await world.account(role).upload(PDF, sensitivity="deidentified")
        assert (refused.status_code, refused.json()["code"]) == (403, "access.forbidden")
    denied = await world.audited("document.upload")
    assert [record["outcome"] for record in denied] == ["denied"] * 3
    doctor = world.account()
    identified = await doctor.upload(PDF, sensitivity="deidentified", patient="MRN|1")
    assert (identified.status_code, identified.json()["code"]) == (422, "document.identified")
    document_id = await doctor.uploaded(PDF, patient="MRN|1")
    later = await restrict(doctor, document_id, "deidentified")
    assert (later.status_code, later.json()["code"]) == (422, "document.identified")
    assert (await world.account("researcher").get(document_id)).status_code == 404


async def test_id6_a_key_opens_documents_to_researchers_only_when_made_for_it(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    for scopes, statuses in (
        (("document.upload", "document.share"), (403, 403)),
        (("document.upload", "document.share", "document.deidentify"), (202, 200)),
    ):
        key = world.with_key(doctor, *scopes)
        uploaded = await key.upload(b"another", sensitivity="deidentified")
        opened = await restrict(key, document_id, "deidentified")
        assert (uploaded.status_code, opened.status_code) == statuses


async def test_a_shared_document_still_is_the_twin_of_its_own_bytes(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await ask(doctor, "POST", document_id, principal="department:icu")
    assert (await doctor.upload(PDF)).json()["id"] == document_id


async def test_a_deleted_document_is_not_shared(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await doctor.client.delete(f"/api/v1/documents/{document_id}")
    assert (await ask(doctor, "GET", document_id)).status_code == 404
    for method in ("POST", "DELETE"):
        assert (await ask(doctor, method, document_id, principal="department:x")).status_code == 404


async def test_without_the_trail_no_list_is_shown(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    world.audit.away = True
    assert (await ask(doctor, "GET", document_id)).status_code == 503


@pytest.fixture
async def search(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "search")
    yield db
    await db.close()


async def test_search_follows_within_two_seconds(
    world: World,
    settings: Settings,
    secrets: SecretStore,
    search: Postgres,
    directory: PostgresDocumentDirectory,
) -> None:
    doctor = world.account()
    document_id = UUID(await doctor.uploaded(PDF))
    visibility = PostgresVisibility(search)
    await visibility.raise_to([Visible(document_id, 1, 1, (f"user:{doctor.id}",))])
    documents = Postgres.of(settings, secrets, "document")
    event_log, audit = PostgresEventLog.of(settings, secrets), PostgresAudit.of(settings, secrets)
    relay = Relay({"document": documents}, event_log, audit, secrets)
    subscription = visibility_subscription(search, directory)

    begun = await event_log.head()

    async def seen() -> bool:
        await relay.run_once()
        await subscription.handle(await event_log.read(subscription.topics, begun, 100))
        return document_id in await visibility.visible({document_id: 1}, ["department:icu"])

    assert not await seen()
    for method, expected in (("POST", True), ("DELETE", False)):
        began = time.monotonic()
        await ask(doctor, method, document_id, principal="department:icu")
        assert await seen() is expected
        assert time.monotonic() - began < 20
    await relay.close()
    for store in (documents, event_log, audit):
        await store.close()

"""Lists: only what the caller may see, every document once through all pages, in each order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.documents.conftest import Account, World
from tests.contract.documents.processed import Processing


async def walk(account: Account, **query: Any) -> list[dict[str, Any]]:
    """All items, page by page."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = await account.list(**query, **({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= query.get("limit", 20)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def titles(items: list[dict[str, Any]]) -> list[str]:
    return [item["title"] for item in items]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [("newest", "daCBb"), ("oldest", "bBCad"), ("title", "aBbCd")],
)
@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_each_order_shows_every_document_once(
    world: World, sort: str, expected: str, limit: int
) -> None:
    doctor = world.account()
    for title in "bBCad":
        await doctor.uploaded(title.encode(), title=title)
    found = titles(await walk(doctor, sort=sort, limit=limit))
    if sort == "title":
        assert [title.lower() for title in found] == list("abbcd")
        assert sorted(found) == sorted(expected)
    else:
        assert found == list(expected)


async def test_documents_of_the_same_moment_are_not_lost_between_pages(world: World) -> None:
    doctor = world.account()
    for number in range(7):
        await doctor.uploaded(bytes([number]), title="same")
    await world.owner.execute("UPDATE document SET created_at = now()")
    for sort in ("newest", "oldest", "title"):
        found = [item["id"] for item in await walk(doctor, sort=sort, limit=2)]
        assert len(set(found)) == len(found) == 7


async def test_a_list_shows_what_a_read_would(world: World, processing: Processing) -> None:
    doctor = world.account()
    kinds: list[dict[str, str]] = [
        {}, {"department": "cardiology"}, {"patient": "MRN|1"},
        {"patient": "MRN|1", "sensitivity": "restricted"}, {"sensitivity": "deidentified"},
        {"sensitivity": "restricted", "department": "cardiology"},
    ]  # fmt: skip
    ids = [await doctor.uploaded(str(number).encode(), **kind) for number, kind in enumerate(kinds)]
    manager = world.account("records_manager")
    ids.append(await manager.uploaded(b"for another", owner_id=doctor.id))
    callers = [
        doctor, manager, world.account("doctor"), world.account("nurse", "department:cardiology"),
        world.account("doctor", "treating:MRN|1"), world.account("doctor", "breakglass:MRN|1"),
        world.account("patient", "self:MRN|1"), world.account("researcher", "department:cardiology"),
    ]  # fmt: skip
    for caller in callers:
        listed = {item["id"] for item in await walk(caller, limit=2)}
        read = {found for found in ids if (await caller.get(found)).status_code == 200}
        assert listed == read, caller.role
    assert {item["id"] for item in await walk(doctor)} == set(ids)


async def test_filters_select(world: World, processing: Processing) -> None:
    doctor = world.account()
    letter = await doctor.uploaded(b"1", document_type="referral", department="cardiology", patient="MRN|1")
    report = await doctor.uploaded(b"2", document_type="radiology", department="oncology", patient="MRN|2")
    await processing.index(report)
    other = await world.account("doctor").uploaded(b"3", sensitivity="deidentified", department="cardiology")
    colleague = world.account("doctor", "department:cardiology", "treating:MRN|1")

    async def ids(account: Account, **query: Any) -> set[str]:
        return {item["id"] for item in await walk(account, **query)}

    assert await ids(doctor, document_type="radiology") == {report}
    assert await ids(doctor, document_type=["radiology", "referral"]) == {letter, report}
    assert await ids(doctor, department="cardiology") == {letter}
    assert await ids(doctor, patient="MRN|1") == {letter}
    assert await ids(doctor, status="indexed") == {report}
    assert await ids(doctor, status=["received", "indexed"], patient="MRN|2") == {report}
    assert await ids(colleague, department="cardiology") == {letter, other}
    assert await ids(colleague, owner="me") == set()


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0}, {"limit": 101}, {"limit": "many"}, {"sort": "size"}, {"status": "lost"},
        {"owner": "you"}, {"patient": "1"}, {"colour": "red"}, {"document_type": "novel"},
    ],
)  # fmt: skip
async def test_a_wrong_parameter_is_422(world: World, query: dict[str, Any]) -> None:
    assert (await world.account().list(**query)).status_code == 422


async def test_a_cursor_belongs_to_its_account_and_its_question(world: World) -> None:
    doctor = world.account()
    for number in range(3):
        await doctor.uploaded(bytes([number]))
    cursor = (await doctor.list(limit=1)).json()["next_cursor"]
    assert (await doctor.list(limit=2, cursor=cursor)).status_code == 200
    assert (await doctor.list(limit=1, cursor=cursor, sort="oldest")).status_code == 410
    assert (await world.account().list(limit=1, cursor=cursor)).status_code == 410
    assert (await doctor.list(limit=1, cursor=cursor[:-2])).status_code == 410
    assert (await doctor.list(limit=1, cursor="ä")).status_code == 410


async def test_a_page_behind_a_deleted_document_says_that_the_list_has_changed(world: World) -> None:
    doctor = world.account()
    ids = [await doctor.uploaded(bytes([number])) for number in range(3)]
    cursor = (await doctor.list(limit=1)).json()["next_cursor"]
    await doctor.client.delete(f"/api/v1/documents/{ids[-1]}")
    assert (await doctor.list(limit=1, cursor=cursor)).status_code == 410
    assert {item["id"] for item in await walk(doctor, limit=1)} == set(ids[:2])


async def test_a_list_is_recorded_with_the_patients_that_it_showed_also_when_they_are_gone(
    world: World,
) -> None:
    doctor = world.account()
    shown = [
        await doctor.uploaded(bytes([number]), patient=f"MRN|{number % 2}", title="A letter")
        for number in range(4)
    ]
    assert (await doctor.list(limit=3)).status_code == 200
    await doctor.client.delete(f"/api/v1/documents/{shown[-1]}")
    record = (await world.audited("document.list"))[-1]
    assert (record["patient"], record["patients"]) == (None, ["MRN|1", "MRN|0"])


async def test_a_list_is_recorded_with_what_it_showed_and_fails_closed(world: World) -> None:
    doctor = world.account()
    ids = [await doctor.uploaded(bytes([number]), patient="MRN|1") for number in range(3)]
    assert (await doctor.list(limit=2, patient="MRN|1")).status_code == 200
    record = (await world.audited("document.list"))[-1]
    assert [str(found) for found in record["document_ids"]] == [ids[2], ids[1]]
    assert record["patient"] == "MRN|1"
    world.audit.away = True
    assert (await doctor.list()).status_code == 503

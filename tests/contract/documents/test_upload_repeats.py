"""Repeated uploads: the same bytes and the same key count once, for their readers and their day."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.documents.conftest import World
from tests.contract.documents.uploading import PDF


async def test_fifty_uploads_of_the_same_bytes_at_once_are_one_document_and_one_event(world: World) -> None:
    doctor = world.account()
    answers = await asyncio.gather(*(doctor.upload(PDF, patient="MRN|1") for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await world.rows("SELECT id FROM document")) == 1
    assert len(await world.events("document.uploaded")) == 1
    assert world.blobs("incoming") == []


async def test_fifty_uses_of_one_key_at_once_have_one_answer(world: World) -> None:
    doctor = world.account()
    key = {"Idempotency-Key": "key-1"}
    answers = await asyncio.gather(*(doctor.upload(PDF, headers=key) for _ in range(50)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
    assert len(await world.events("document.uploaded")) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"patient": "MRN|1"}, {"patient": "MRN|2"}),
        ({}, {"patient": "MRN|1"}),
        ({}, {"department": "cardiology"}),
        ({}, {"sensitivity": "restricted"}),
    ],
)
async def test_the_same_bytes_for_other_readers_are_another_document(
    world: World, first: dict[str, str], second: dict[str, str]
) -> None:
    doctor = world.account()
    one, other = await doctor.uploaded(PDF, **first), await doctor.uploaded(PDF, **second)
    assert one != other
    assert [(await doctor.upload(PDF, **fields)).json()["id"] for fields in (first, second)] == [one, other]


async def test_the_same_bytes_of_another_account_are_another_document(world: World) -> None:
    assert await world.account().uploaded(PDF) != await world.account().uploaded(PDF)


async def test_the_bytes_of_a_deleted_document_are_new_again(world: World) -> None:
    doctor = world.account()
    first = await doctor.uploaded(PDF)
    assert (await doctor.client.delete(f"/api/v1/documents/{first}")).status_code == 202
    assert await doctor.uploaded(PDF) != first


async def test_a_key_for_another_request_is_422_and_leaves_nothing(world: World) -> None:
    doctor = world.account()
    key = {"Idempotency-Key": "key-1"}
    assert (await doctor.upload(PDF, headers=key)).status_code == 202
    for content, fields in ((b"other", {}), (PDF, {"title": "other"})):
        answer = await doctor.upload(content, headers=key, **fields)
        assert (answer.status_code, answer.json()["code"]) == (422, "request.idempotency_mismatch")
    assert len(await world.rows("SELECT id FROM document")) == 1
    assert world.blobs("incoming") == []
    assert (await world.account().upload(b"other", headers=key)).status_code == 202


async def test_a_key_counts_for_a_day(world: World) -> None:
    doctor = world.account()
    key = {"Idempotency-Key": "key-1"}
    await doctor.upload(PDF, headers=key)
    await world.owner.execute("UPDATE idempotency SET created_at = now() - interval '25 hours'")
    assert (await doctor.upload(b"other", headers=key)).status_code == 202
    assert (await doctor.upload(PDF, headers=key)).status_code == 422


@pytest.mark.parametrize("key", ["", "with blank", "x" * 256, "ä"])
async def test_a_malformed_key_is_422(world: World, key: str) -> None:
    answer = await world.account().client.post(
        "/api/v1/documents", content=PDF, headers=[("Idempotency-Key", key.encode())]
    )
    assert answer.status_code == 422

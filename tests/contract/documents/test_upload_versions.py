"""Further versions of a document: each has its number and its bytes, and one is added once."""

from __future__ import annotations

import asyncio

from tests.contract.documents.conftest import World
from tests.contract.documents.uploading import PDF, version


async def test_a_new_version_starts_again_and_keeps_what_was_not_said(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, filename="a.pdf", title="First", patient="MRN|1")
    await world.owner.execute("UPDATE document SET status = 'indexed', progress = 1, pages = 3, sequence = 9")
    answer = await version(doctor, document_id, b"%PDF-1.7 second", title="Second")
    assert answer.status_code == 202
    assert {name: answer.json()[name] for name in ("id", "version", "revision", "status")} == {
        "id": document_id, "version": 2, "revision": 2, "status": "received",
    }  # fmt: skip
    view = (await doctor.get(document_id)).json()
    assert (view["title"], view["filename"], view["patient"]) == ("Second", "a.pdf", "MRN|1")
    assert (view["progress"], view["pages"], view["version"]) == (0, None, 2)
    assert (await doctor.get(document_id, "/content")).content == b"%PDF-1.7 second"
    assert world.blobs(f"originals/{document_id}") == [f"originals/{document_id}/{n}" for n in (1, 2)]
    assert [(e["version"], e["revision"]) for e in await world.events("document.uploaded")] == [
        (1, 1),
        (2, 2),
    ]


async def test_the_same_bytes_are_no_new_version(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    answer = await version(doctor, document_id, PDF)
    assert (answer.status_code, answer.json()["version"], answer.json()["duplicate"]) == (200, 1, True)
    assert world.blobs("incoming") == []


async def test_versions_in_parallel_get_a_number_each_with_their_own_bytes(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    contents = [f"content {number}".encode() for number in range(8)]
    answers = await asyncio.gather(*(version(doctor, document_id, content) for content in contents))
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 10))
    for answer, content in zip(answers, contents, strict=True):
        key = f"originals/{document_id}/{answer.json()['version']}"
        assert (world.settings.blobs_path / "objects" / key).read_bytes() == content


async def test_a_blob_that_a_crash_left_under_the_next_number_is_not_taken_for_the_version(
    world: World,
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    (world.settings.blobs_path / "objects" / "originals" / document_id / "2").write_bytes(b"left by a crash")
    assert (await version(doctor, document_id, b"the second")).status_code == 202
    assert (await doctor.get(document_id, "/content")).content == b"the second"


async def test_a_version_with_the_bytes_of_another_document_is_a_conflict(world: World) -> None:
    doctor = world.account()
    await doctor.uploaded(PDF)
    other = await doctor.uploaded(b"other")
    answer = await version(doctor, other, PDF)
    assert (answer.status_code, answer.json()["code"]) == (409, "document.duplicate")
    assert (await doctor.get(other, "/content")).content == b"other"
    assert world.blobs("incoming") == []


async def test_a_repeated_key_adds_no_second_version(world: World) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    key = {"Idempotency-Key": "v"}
    answers = [
        await doctor.client.post(f"/api/v1/documents/{document_id}/versions", content=b"second", headers=key)
        for _ in range(2)
    ]
    assert answers[0].text == answers[1].text
    assert (await doctor.get(document_id)).json()["version"] == 2


async def test_who_may_add_a_version(world: World) -> None:
    doctor = world.account()
    own = await doctor.uploaded(PDF, department="cardiology")
    patients = await doctor.uploaded(b"second", patient="MRN|1")
    colleague = world.account("doctor", "department:cardiology", "treating:MRN|1")
    assert (await version(colleague, own, b"a")).status_code == 403
    assert (await version(colleague, patients, b"b")).status_code == 202
    assert (await version(world.account("doctor"), own, b"c")).status_code == 404
    assert (await version(world.account("researcher"), own, b"d")).status_code == 403
    manager = world.account("records_manager")
    assert (await version(manager, own, b"e")).status_code == 202
    assert (await manager.get(own)).status_code == 404

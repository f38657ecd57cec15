"""Deletion, and what processing reports: the highest revision and sequence win."""

from __future__ import annotations

from uuid import UUID

import pytest

from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Unavailable
from stores.document_directory import PostgresDocumentDirectory
from stores.postgres import Postgres
from tests.contract.documents.conftest import Account, World
from tests.contract.documents.processed import Processing
from tests.contract.documents.test_lists import walk
from tests.contract.documents.uploading import PDF


async def delete(account: Account, document_id: str, **query: str) -> int:
    answer = await account.client.delete(f"/api/v1/documents/{document_id}", params=query)
    return answer.status_code


async def test_a_deleted_document_is_gone_for_everybody_and_its_traces_follow(
    world: World, processing: Processing, directory: PostgresDocumentDirectory
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF, title="Miller", patient="MRN|1")
    await processing.index(document_id)
    answer = await doctor.client.delete(
        f"/api/v1/documents/{document_id}", params={"reason": "wrong patient"}
    )
    assert answer.status_code == 202
    assert answer.json() == {"id": document_id, "revision": 2, "status": "deleting"}
    for path in ("", "/content", "/pages/1/text", "/entities"):
        assert (await doctor.get(document_id, path)).status_code == 404
    assert await walk(doctor) == []
    assert await delete(doctor, document_id) == 404
    assert (await doctor.get(document_id, "/status")).json()["status"] == "deleting"
    assert (await world.account("doctor", "treating:MRN|1").get(document_id, "/status")).status_code == 404
    assert await world.events("document.deleted") == [
        {"document_id": document_id, "version": 1, "revision": 2}
    ]
    records = {record["outcome"]: record for record in await world.audited("document.delete")}
    done = records["success"]
    assert (done["action"], done["reason"], done["patient"]) == ("D", "wrong patient", "MRN|1")
    assert records["denied"]["action"] == "R"
    state = await directory.state(UUID(document_id))
    assert state is not None
    assert state.deleted

    await processing.end(document_id, 10, "deleted", revision=2)
    assert (await doctor.get(document_id, "/status")).json()["status"] == "deleted"
    assert world.blobs(f"originals/{document_id}") == []
    (row,) = await world.rows("SELECT * FROM document")
    assert (row["title"], row["filename"], row["patient"], row["access"]) == ("", "", None, [])


async def test_a_deletion_is_not_done_before_the_bytes_are_gone(
    world: World, processing: Processing, settings: Settings
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await delete(doctor, document_id)
    originals = settings.blobs_path / "objects" / "originals"
    stuck, aside = originals / document_id, originals / "aside"
    stuck.rename(aside)
    stuck.symlink_to("/proc/self/fdinfo")  # nobody can remove these files, as on a disk that fails
    with pytest.raises(Unavailable):
        await processing.end(document_id, 10, "deleted")
    assert (await doctor.get(document_id, "/status")).json()["status"] == "deleting"
    stuck.unlink()
    aside.rename(stuck)
    await processing.end(document_id, 10, "deleted")
    assert (await doctor.get(document_id, "/status")).json()["status"] == "deleted"
    assert world.blobs(f"originals/{document_id}") == []


@pytest.mark.parametrize("late", ["stage", "end"])
async def test_what_comes_late_does_not_bring_a_deleted_document_back(
    world: World, processing: Processing, late: str
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await delete(doctor, document_id)
    if late == "stage":
        await processing.stage(document_id, 5, "processing", "embed")
    else:
        await processing.end(document_id, 5, "indexed")
    assert (await doctor.get(document_id, "/status")).json()["status"] == "deleting"


async def test_a_repeated_end_of_deletion_changes_nothing_and_a_live_document_is_never_purged(
    world: World, processing: Processing
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.end(document_id, 1, "deleted")
    assert (await doctor.get(document_id, "/content")).content == PDF


async def test_who_may_delete(world: World) -> None:
    doctor = world.account()
    own = await doctor.uploaded(PDF, department="cardiology")
    colleague = world.account("doctor", "department:cardiology")
    assert await delete(colleague, own) == 403
    record = (await world.audited("document.delete"))[-1]
    assert (record["actor"], record["outcome"]) == (f"user:{colleague.id}", "denied")
    assert await delete(world.account("doctor"), own) == 404
    assert await delete(world.account("patient"), own) == 403
    assert await delete(world.account("records_manager"), own) == 403
    assert await delete(world.account("department_admin", "department:oncology"), own) == 404
    assert await delete(world.account("department_admin", "department:cardiology"), own) == 202


async def test_the_reader_of_the_view_sees_nothing_else(
    settings: Settings, secrets: SecretStore, world: World
) -> None:
    import asyncpg

    db = Postgres.of(settings, secrets, "document", "document-reader")
    for sql in ("SELECT * FROM document", "SELECT * FROM outbox", "DELETE FROM api.document_state"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.connection() as connection:
                await connection.execute(sql)
    await db.close()


async def test_status_follows_what_processing_says(world: World, processing: Processing) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.stage(document_id, 1, "queued", "extract", progress=0.0, eta_seconds=40)
    status = (await doctor.get(document_id, "/status")).json()
    assert (status["status"], status["stage"]) == ("queued", "extract")
    assert 30 <= status["eta_seconds"] <= 40
    await processing.stage(document_id, 3, "processing", "annotate", progress=0.4, failures=1)
    status = (await doctor.get(document_id, "/status")).json()
    assert (status["status"], status["stage"], status["progress"]) == (
        "processing",
        "annotate",
        pytest.approx(0.4),
    )
    assert (status["failures"], status["eta_seconds"]) == (1, None)


async def test_late_and_repeated_messages_lose(world: World, processing: Processing) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.index(document_id, sequence=9)
    repeated = await processing.stage(document_id, 4, "processing", "embed")
    await processing.hear(repeated)
    await processing.end(document_id, 9, "rejected", reason_code="damaged")
    assert (await doctor.get(document_id, "/status")).json()["status"] == "indexed"
    await doctor.client.post(f"/api/v1/documents/{document_id}/versions", content=b"second")
    await processing.end(document_id, 20, "indexed", version=1)
    assert (await doctor.get(document_id, "/status")).json()["status"] == "received"
    await processing.stage(document_id, 21, "queued", "extract", version=2)
    assert (await doctor.get(document_id, "/status")).json()["status"] == "queued"


@pytest.mark.parametrize(
    ("outcome", "stage", "code", "message"),
    [
        ("rejected", None, "encrypted", "The PDF is protected by a password."),
        ("quarantined", "extract", "out_of_memory", "Reading the file took too much memory."),
        ("quarantined", "index", "of_the_future", "The document could not be processed."),
    ],
)
async def test_a_reason_is_given_in_words(
    world: World, processing: Processing, outcome: str, stage: str | None, code: str, message: str
) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.end(document_id, 3, outcome, stage=stage, reason_code=code)
    view = (await doctor.get(document_id)).json()
    assert (view["status"], view["reason"]["code"], view["reason"]["message"]) == (outcome, code, message)
    assert view["reason"]["action"]


async def test_a_requeue_takes_a_document_out_of_quarantine(world: World, processing: Processing) -> None:
    doctor = world.account()
    document_id = await doctor.uploaded(PDF)
    await processing.end(document_id, 3, "quarantined", stage="extract", reason_code="cpu_limit")
    await processing.stage(document_id, 4, "queued", "extract")
    status = (await doctor.get(document_id, "/status")).json()
    assert (status["status"], status["reason"]) == ("queued", None)

"""A bulk load on real stores. Processing is a hand that moves documents to their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from cluster.demo.generate import corpus, write
from cluster.ingest.job import Order, Result, carry_out
from cluster.ingest.listing import PatientFrom
from cluster.ingest.load import Tempo
from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.provisioning import Provisioning
from domain.errors import Forbidden, Invalid, NotFound
from domain.ids import new_id
from stores.postgres import Postgres, connect, database

FAST = Tempo(poll=0.05, line=0.05)


@pytest.fixture
async def owner(settings: Settings, secrets: SecretStore) -> str:
    return await account(settings, secrets, "doctor")


async def account(settings: Settings, secrets: SecretStore, role: str) -> str:
    provisioning = Provisioning.of(settings, secrets)
    username = f"owner-{new_id().hex[-12:]}"
    await provisioning.create_account(
        email=f"{username}@example.org",
        username=username,
        password=None,
        first_name="Owner",
        last_name="Of Documents",
        role=role,
    )
    await provisioning.close()
    return username


@pytest.fixture
async def documents(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "document")
    yield db
    await db.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(corpus(12, seed=7), tmp_path)
    return tmp_path


@asynccontextmanager
async def processing(db: Postgres, owner_id: UUID) -> AsyncIterator[None]:
    """Documents end as soon as they are there: empty ones rejected, the others indexed."""

    async def work() -> None:
        while True:
            async with db.connection() as connection:
                await connection.execute(
                    """
                    UPDATE document SET status = CASE WHEN bytes = 0 THEN 'rejected' ELSE 'indexed' END,
                                        reason_code = CASE WHEN bytes = 0 THEN 'empty' END
                    WHERE owner_id = $1 AND status = 'received'
                    """,
                    owner_id,
                )
            await asyncio.sleep(0.02)

    task = asyncio.create_task(work())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def owner_id(settings: Settings, secrets: SecretStore, username: str) -> UUID:
    provisioning = Provisioning.of(settings, secrets)
    found = await provisioning.find_account(username)
    await provisioning.close()
    assert found is not None
    return found.id


async def rows(db: Postgres, owner: UUID) -> list[asyncpg.Record]:
    async with db.connection() as connection:
        return await connection.fetch("SELECT * FROM document WHERE owner_id = $1 ORDER BY filename", owner)


@pytest.fixture
async def load(settings: Settings, secrets: SecretStore, documents: Postgres, owner: str):
    """Carries out a load of a folder for `owner`, with processing at work."""
    lines: list[str] = []

    async def run(folder: Path, **options: object) -> Result:
        async with processing(documents, await owner_id(settings, secrets, owner)):
            order = Order(folder, owner, **options)
            return await carry_out(settings, secrets, order, lines.append, tempo=FAST)

    run.lines = lines
    return run


async def test_every_file_becomes_one_document_of_its_owner(
    load, folder: Path, documents: Postgres, settings: Settings, secrets: SecretStore, owner: str
) -> None:
    result = await load(
        folder, department="pulmonology", patient_from=PatientFrom.FOLDER, patient_system="DEMO"
    )
    assert not result.failed
    assert result.report["counts"] == {"indexed": 12}
    found = await rows(documents, await owner_id(settings, secrets, owner))
    assert len(found) == 12
    assert {row["lane"] for row in found} == {"bulk"}
    assert {row["department"] for row in found} == {"pulmonology"}
    one = next(row for row in found if row["filename"].endswith("000001.pdf"))
    assert one["patient"] == "DEMO|100001"
    assert set(one["access"]) == {
        f"user:{one['owner_id']}", "self:DEMO|100001", "treating:DEMO|100001", "breakglass:DEMO|100001",
    }  # fmt: skip
    assert one["uploaded_by"] != one["owner_id"]
    assert (settings.blobs_path / "objects" / one["blob_key"]).read_bytes() == (
        folder / "100001" / one["filename"]
    ).read_bytes()
    assert "Nothing failed." in load.lines


async def test_an_event_and_an_audit_entry_for_each(
    load, folder: Path, documents: Postgres, settings: Settings, secrets: SecretStore, owner: str
) -> None:
    await load(folder)
    ids = {str(row["id"]) for row in await rows(documents, await owner_id(settings, secrets, owner))}
    async with documents.connection() as connection:
        bodies = [row["body"] for row in await connection.fetch("SELECT body FROM outbox")]
    events = [body for body in bodies if body.get("subject") in ids]
    assert {event["data"]["lane"] for event in events} == {"bulk"}
    assert len(events) == 12
    entries = [
        body for body in bodies if body.get("event") == "document.upload" and set(body["document_ids"]) & ids
    ]
    assert len(entries) == 12
    assert {entry["role"] for entry in entries} == {"service"}
    assert {entry["on_behalf_of"] for entry in entries} == {
        f"user:{await owner_id(settings, secrets, owner)}"
    }
    assert not any(part.name in json.dumps(events) for part in folder.rglob("*.*"))


async def test_the_load_itself_is_audited(
    load, folder: Path, settings: Settings, secrets: SecretStore, owner: str
) -> None:
    await load(folder)
    admin = await connect(database(settings, "audit", "owner"), secrets)
    (entry,) = await admin.fetch(
        "SELECT * FROM audit_record WHERE event = 'bulk.ingest' AND on_behalf_of = $1",
        f"user:{await owner_id(settings, secrets, owner)}",
    )
    await admin.close()
    assert (entry["action"], entry["role"], entry["outcome"]) == ("E", "service", "success")
    assert entry["sealed"] is not None
    assert str(folder).encode() not in entry["sealed"]


async def test_stopped_half_way_and_run_again_is_each_once(
    load, folder: Path, documents: Postgres, settings: Settings, secrets: SecretStore, owner: str
) -> None:
    """The first run is cut off while it stores; the second ends with exactly the same documents."""
    (folder / "copy.txt").write_bytes(next(folder.rglob("*000000.txt")).read_bytes())
    owner_uuid = await owner_id(settings, secrets, owner)
    first = asyncio.create_task(carry_out(settings, secrets, Order(folder, owner), [].append, tempo=FAST))
    while len(await rows(documents, owner_uuid)) < 4:  # noqa: ASYNC110 - another process's rows
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    before = {row["id"] for row in await rows(documents, owner_uuid)}
    assert 4 <= len(before) < 12
    result = await load(folder)
    after = {row["id"] for row in await rows(documents, owner_uuid)}
    assert before < after
    assert len(after) == 12
    assert result.report["counts"] == {"indexed": 12, "same content as another file": 1}
    again = await load(folder)
    assert {row["id"] for row in await rows(documents, owner_uuid)} == after
    assert all(document["known"] for document in again.report["documents"])
    assert "  of them were there before this run" in "\n".join(load.lines)


async def test_failures_are_named(load, folder: Path, owner: str) -> None:
    (folder / "empty.txt").touch()
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    result = await load(folder)
    assert result.failed
    reasons = {entry["file"]: entry["reason"] for entry in result.report["failed"]}
    assert reasons == {
        "empty.txt": "The file is empty. Check the file at its source and upload it again.",
        "gone.txt": "It cannot be read: No such file or directory.",
    }
    assert any(line.startswith("  empty.txt: The file is empty.") for line in load.lines)


async def test_a_folder_that_is_no_record_number_is_named(load, tmp_path: Path) -> None:
    (tmp_path / "a|b").mkdir()
    (tmp_path / "a|b" / "letter.txt").write_text("Fever.")
    result = await load(tmp_path, patient_from=PatientFrom.FOLDER, patient_system="DEMO")
    assert "patient cannot be used" in result.report["failed"][0]["reason"]


async def test_a_file_over_the_limit_is_named(
    settings: Settings, secrets: SecretStore, owner: str, tmp_path: Path
) -> None:
    (tmp_path / "large.txt").write_text("x" * 5000)
    small = settings.model_copy(update={"http": settings.http.model_copy(update={"body_limit_bytes": 4096})})
    result = await carry_out(small, secrets, Order(tmp_path, owner), [].append, tempo=FAST)
    assert "larger than" in result.report["failed"][0]["reason"]


async def test_only_for_an_account_that_could_upload_itself(
    settings: Settings, secrets: SecretStore, tmp_path: Path
) -> None:
    researcher = await account(settings, secrets, "researcher")
    patient = await account(settings, secrets, "patient")
    for username in (researcher, patient):
        with pytest.raises(Forbidden, match="may not upload"):
            await carry_out(settings, secrets, Order(tmp_path, username), [].append)
    with pytest.raises(NotFound, match="no account 'nobody'"):
        await carry_out(settings, secrets, Order(tmp_path, "nobody"), [].append)


async def test_record_numbers_need_their_system(
    settings: Settings, secrets: SecretStore, tmp_path: Path, owner: str
) -> None:
    with pytest.raises(Invalid, match="--patient-system"):
        await carry_out(settings, secrets, Order(tmp_path, owner, patient_from=PatientFrom.FOLDER), [].append)

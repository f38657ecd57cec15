"""The sweep takes what no document speaks of, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.secrets import SecretStore
from config.settings import Settings
from deployments.documents.sweep import LOCK, OrphanSweep
from domain.ids import new_id
from stores.blobs import DiskBlobs
from stores.documents import DocumentStore
from stores.postgres import Postgres
from tests.contract.documents.conftest import World
from tests.contract.documents.processed import Processing
from tests.contract.documents.uploading import PDF, version


def age(path: Path, seconds: float) -> None:
    past = time.time() - seconds
    os.utime(path, (past, past))


@pytest.fixture
async def sweep(settings: Settings, secrets: SecretStore) -> AsyncIterator[OrphanSweep]:
    db = Postgres.of(settings, secrets, "document")
    yield OrphanSweep(DocumentStore(db), DiskBlobs(settings.blobs_path), older_than_seconds=100)
    await db.close()


async def test_only_old_orphans_go(world: World, sweep: OrphanSweep, settings: Settings) -> None:
    blobs = DiskBlobs(settings.blobs_path)
    doctor = world.account()
    live = await doctor.uploaded(PDF)
    await version(doctor, live, b"second")
    old = ["incoming/old", f"originals/{new_id()}/1", f"originals/{live}/3"]
    young = ["incoming/young", f"originals/{new_id()}/1"]
    for key in old + young:
        await blobs.put(key, b"x")
    for key in [*old, f"originals/{live}/1", f"originals/{live}/2"]:
        age(await blobs.local_path(key), 200)
    before = set(world.blobs("."))
    removed = await sweep.run_once()
    gone = before - set(world.blobs("."))
    assert set(old) <= gone
    assert removed == len(gone)
    assert f"originals/{live}/1" not in gone
    assert not set(young) & gone
    assert (await doctor.get(live, "/content")).content == b"second"
    for key in young:
        await blobs.delete(key)


async def test_artefacts_that_no_document_speaks_of_go(
    world: World, processing: Processing, sweep: OrphanSweep, settings: Settings
) -> None:
    blobs = DiskBlobs(settings.blobs_path)
    doctor = world.account()
    indexed, working, replaced, gone = [await doctor.uploaded(f"letter {n}".encode()) for n in range(4)]
    await processing.index(indexed)
    await processing.stage(working, 1, "processing", "annotate")
    await version(doctor, replaced, b"second")
    await doctor.client.delete(f"/api/v1/documents/{gone}")
    await processing.end(gone, 9, "deleted")
    orphans = [
        f"artefacts/{indexed}/1/extract.7", f"artefacts/{replaced}/1/extract.1", f"artefacts/{gone}/1/extract.1",
        f"artefacts/{new_id()}/1/embed.2",
    ]  # fmt: skip
    kept = [
        f"artefacts/{indexed}/1/extract.1", f"artefacts/{working}/1/annotate.2",
        f"artefacts/{replaced}/2/extract.1", "artefacts/foreign/1/file",
    ]  # fmt: skip
    for key in [*orphans, *kept[1:]]:
        await blobs.put(key, b"x")
    for key in [*orphans, *kept]:
        age(await blobs.local_path(key), 200)
    await blobs.put(f"artefacts/{indexed}/1/embed.9", b"young")
    await sweep.run_once()
    left = set(await blobs.keys("artefacts"))
    assert not set(orphans) & left
    assert {*kept, f"artefacts/{indexed}/1/embed.9"} <= left
    await blobs.delete("artefacts/foreign")


async def test_a_sweep_that_takes_long_is_in_no_transaction(
    world: World, settings: Settings, secrets: SecretStore
) -> None:
    """Postgres would end it after a minute, and rows would be locked as long."""
    open_transactions = []

    class Watched(DiskBlobs):
        async def keys(self, prefix: str, *, older_than_seconds: float = 0) -> list[str]:
            open_transactions.append(
                await world.owner.fetchval(
                    """
                    SELECT count(*) FROM pg_stat_activity
                    WHERE datname = 'document_db' AND state = 'idle in transaction'
                    """
                )
            )
            return await super().keys(prefix, older_than_seconds=older_than_seconds)

    await world.account().uploaded(PDF)
    db = Postgres.of(settings, secrets, "document")
    await OrphanSweep(DocumentStore(db), Watched(settings.blobs_path)).run_once()
    await db.close()
    assert set(open_transactions) == {0}
    assert len(open_transactions) >= 2


async def test_two_replicas_do_not_sweep_at_once(
    world: World, sweep: OrphanSweep, settings: Settings
) -> None:
    blobs = DiskBlobs(settings.blobs_path)
    await blobs.put("incoming/old", b"x")
    age(await blobs.local_path("incoming/old"), 200)
    async with world.owner.transaction():
        await world.owner.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        assert await sweep.run_once() == 0
    assert await sweep.run_once() >= 1

"""Index writers over the real queue, with documents that stand before the index, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from actors.generations import Generations
from actors.heart import Heart
from actors.index_writer import IndexWriter, pass_by
from domain.jobs import Lease, Stage
from stores.generation_jobs import GenerationJobs
from stores.jobs import JobStore
from stores.postgres import Postgres
from stores.visibility import PostgresVisibility
from tests.contract.processing.world import GENERATION, Documents, MemoryIndex, artefacts_of
from tests.unit.actors.doubles import MemoryBlobs, Waker
from tests.waiting import until

WORK = (Stage.EXTRACT, Stage.ANNOTATE, Stage.EMBED)


class Bench:
    """Writers around one index; documents are brought to the index stage by hand."""

    def __init__(
        self, jobs: JobStore, search: Postgres, heart: Heart, upload: Callable[..., Awaitable[UUID]]
    ) -> None:
        self.jobs = jobs
        self.search = search
        self.heart = heart
        self.upload = upload
        self.index: Any = MemoryIndex()
        self.generation = GENERATION
        self.filling = GenerationJobs(jobs.db)
        self.documents = Documents()
        self.blobs = MemoryBlobs()

    def generations(self) -> Generations:
        return Generations(self.index, self.filling, self.jobs, self.generation)

    async def prepared(self, name: str = "writer") -> IndexWriter:
        """A writer that has seen to its generations, as its duty begins."""
        generations = self.generations()
        await generations.prepare()
        return self.writer(name, generations=generations)

    def writer(
        self, name: str = "writer", checkpoint=pass_by, generations: Generations | None = None
    ) -> IndexWriter:
        return IndexWriter(
            name,
            jobs=self.jobs,
            index=self.index,
            generations=generations or self.generations(),
            directory=self.documents,
            visibility=PostgresVisibility(self.search),
            blobs=self.blobs,
            heart=self.heart,
            waker=Waker(),
            batch=64,
            poll_seconds=0.05,
            away_seconds=0.05,
            checkpoint=checkpoint,
        )

    async def ready(self, document_id: UUID | None = None, *, version: int = 1, revision: int = 1) -> UUID:
        """A document whose stages before the index are done."""
        document_id = await self.upload(document_id, version=version, revision=revision)
        self.documents.put(document_id, version=version, revision=revision)
        [lease] = await self.jobs.claim(WORK, "worker")
        current: Lease | None = lease
        for stage in WORK:
            assert current is not None
            key = f"artefacts/{document_id}/{version}/{stage}.1"
            await self.blobs.put(key, artefacts_of(current).get(stage.value, b"text"))
            current = await self.jobs.complete_stage(current, key, {}, keep=stage is not Stage.EMBED)
        return document_id

    async def visible(self, document_id: UUID) -> tuple[int, int, bool] | None:
        async with self.search.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM visibility WHERE document_id = $1", document_id)
        return (row["version"], row["revision"], row["deleted"]) if row else None


async def outcomes(published, document: UUID) -> list[str]:
    return [e["outcome"] for e in await published() if "outcome" in e and e["document_id"] == str(document)]


async def told(published, document: UUID, outcome: str) -> None:
    """Return when the document's end is published."""

    async def is_told() -> bool:
        return await outcomes(published, document) == [outcome]

    await until(is_told)


async def written(writer: IndexWriter, count: int) -> None:
    """Return when that many jobs are written; a late heartbeat may hold their rows for a moment."""
    async with asyncio.timeout(30):
        while count := count - await writer.write_batch():  # noqa: ASYNC110 - rows that others unlock
            await asyncio.sleep(0.02)


async def ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""A change of the embedding model, as the operator makes it: built beside the live index, promoted, dropped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.secrets import SecretStore
from config.settings import ModelSettings, Settings
from domain.audit import AuditEvent
from domain.errors import Conflict, Invalid
from domain.search import AccessFilter, Generation, GenerationState
from models import analysis
from models.embedding import tried
from models.encoders import encoder_of, locate
from stores.audit import PostgresAudit
from stores.blobs import DiskBlobs
from stores.generation_jobs import GenerationJobs, Standing
from stores.ports import AuditEntry, BlobStore, SearchIndex
from stores.postgres import Postgres
from stores.search import open_index
from stores.search.errors import GenerationMissing, not_ready

NOBODY = AccessFilter(frozenset({"user:nobody"}))
POLL_SECONDS = 0.5

Seal = Callable[[AuditEntry], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Described:
    """A generation, and how far it is."""

    generation: Generation
    standing: Standing


class IndexOperator:
    """Works on the stores; the platform's index writer and workers do what is asked for, when they run."""

    def __init__(
        self, index: SearchIndex, jobs: GenerationJobs, blobs: BlobStore, models: ModelSettings, seal: Seal
    ) -> None:
        self._index = index
        self._jobs = jobs
        self._blobs = blobs
        self._models = models
        self._seal = seal

    async def described(self) -> list[Described]:
        """Oldest first."""
        return [await self.describe(one) for one in await self._index.generations()]

    async def describe(self, generation: Generation) -> Described:
        return Described(generation, await self._jobs.standing(generation.name))

    async def build(self, encoder: str | None = None) -> Generation:
        """The generation of this encoder (by default that of the settings), to be filled from now on.

        Made when there is none; gone on with when there is one that is not live, be it building or retired. Raises
        `ModelUnavailable`, `Conflict` (`search.generation_live`) when the live one is of this encoder, and
        `Unavailable` while there is no live one.
        """
        place = _place(encoder or self._models.encoder)
        found = await asyncio.to_thread(locate, place)
        now = datetime.now(UTC)
        wanted = Generation(
            f"g-{now:%Y%m%d-%H%M%S}", found.name, found.dimension, analysis.VERSION, source=place
        )
        there = await self._index.generations()
        if not any(one.state is GenerationState.LIVE for one in there):
            raise not_ready()
        for one in there:
            if (one.encoder, one.analysis) == (wanted.encoder, wanted.analysis):
                if one.state is GenerationState.LIVE:
                    raise Conflict(
                        f"The live generation '{one.name}' was made by {one.encoder}: there is nothing to build.",
                        code="search.generation_live",
                    )
                wanted = replace(one, source=place)
        await asyncio.to_thread(tried, wanted, self._models)
        await self._index.create(wanted)
        await self._jobs.begin(wanted.name, self._sealed(AuditEvent.INDEX_BUILD, wanted))
        return wanted

    async def stop(self, name: str | None = None) -> Generation:
        """Fill it no further until it is built again. Raises `Conflict` when it is not being filled."""
        filled = await self._jobs.filled()
        generation = await self._chosen(name, lambda one: one.name in filled)
        if not await self._jobs.stop(generation.name, self._sealed(AuditEvent.INDEX_STOP, generation)):
            raise Conflict(
                f"The generation '{generation.name}' is not being built.", code="search.generation_idle"
            )
        return generation

    async def promote(
        self, name: str | None = None, *, force: bool = False, wait_seconds: float = 0
    ) -> Generation:
        """Make it the one that answers; by default the only one that is building.

        Documents that are indexed at this moment are waited for. Raises `Conflict` (`search.generation_incomplete`)
        while documents are missing, unless `force`; then they are queued, and cannot be found until they are in.
        Raises `ModelUnavailable` without its encoder, and `Unavailable` when what it held is lost.
        """
        generation = await self._chosen(name, lambda one: one.state is GenerationState.BUILDING)
        if generation.state is GenerationState.LIVE:
            raise Conflict(
                f"The generation '{generation.name}' is live already.", code="search.generation_live"
            )
        if generation.analysis != analysis.VERSION:
            raise Conflict(
                f"The generation '{generation.name}' was made by another analysis of words.",
                code="index.generation_mismatch",
            )
        await asyncio.to_thread(encoder_of, generation, self._models)
        await self._index.visible_passages(NOBODY, generation=generation.name)
        if not force:
            await self._complete(generation, wait_seconds)
        await self._jobs.end(generation.name, self._sealed(AuditEvent.INDEX_PROMOTE, generation))
        await self._index.promote(generation.name)
        return generation

    async def drop(self, name: str) -> Generation:
        """Remove it with its vectors. Raises `Conflict` for the live one. May be broken off and begun again."""
        generation = await self._chosen(name, lambda one: one.name == name)
        if generation.state is GenerationState.LIVE:
            raise Conflict("The live generation cannot be dropped.", code="search.generation_live")
        await self._jobs.drop(name, self._sealed(AuditEvent.INDEX_DROP, generation))
        await self._blobs.delete(f"vectors/{name}")
        await self._index.drop(name)
        return generation

    async def _complete(self, generation: Generation, wait_seconds: float) -> None:
        left = wait_seconds
        while missing := (standing := await self._jobs.standing(generation.name)).missing:
            if left <= 0:
                raise Conflict(
                    f"{missing} of {missing + standing.documents} documents are missing in '{generation.name}'."
                    f" Go on with: medsearch index build --encoder {generation.source}",
                    code="search.generation_incomplete",
                )
            await asyncio.sleep(POLL_SECONDS)
            left -= POLL_SECONDS

    async def _chosen(self, name: str | None, likely: Callable[[Generation], bool]) -> Generation:
        """The named one, or the only likely one."""
        there = await self._index.generations()
        found = [one for one in there if (one.name == name if name else likely(one))]
        if len(found) == 1:
            return found[0]
        known = ", ".join(one.name for one in there) or "none"
        if name:
            raise GenerationMissing(f"There is no generation '{name}' of the index, but: {known}.")
        raise Invalid(f"Say which generation of the index: {known}.", code="search.generation_unclear")

    def _sealed(self, event: AuditEvent, generation: Generation) -> Mapping[str, Any]:
        return self._seal(by_operator(event, generation=generation.name, encoder=generation.encoder))


def by_operator(event: AuditEvent, **names: str) -> AuditEntry:
    """The record of a command on the server."""
    return AuditEntry(
        action="E",
        event=event,
        outcome="success",
        actor="system",
        names={"operator": f"uid {os.getuid()}", **names},
    )


@asynccontextmanager
async def index_operator(settings: Settings, secrets: SecretStore) -> AsyncIterator[IndexOperator]:
    """On the stores of the settings."""
    index = open_index(settings, secrets)
    db, audit = Postgres.of(settings, secrets, "processing"), PostgresAudit.of(settings, secrets)
    try:
        yield IndexOperator(
            index, GenerationJobs(db), DiskBlobs(settings.blobs_path), settings.models, audit.seal
        )
    finally:
        await audit.close()
        await db.close()
        await index.close()


def _place(encoder: str) -> str:
    """A folder as every process finds it, wherever it was started."""
    folder = Path(encoder).expanduser()
    return str(folder.absolute()) if folder.is_dir() else encoder

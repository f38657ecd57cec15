"""The generations of the index as its writer keeps them: the live one, those beside it, and what each still lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog

from domain.errors import Unavailable
from domain.search import Generation, GenerationState, IndexOperation
from stores.ports import WriteReport
from stores.search.errors import MISSING, lost, not_ready

log = structlog.get_logger(__name__)


class WritableIndex(Protocol):
    """The write side of `stores.ports.SearchIndex`."""

    async def create(self, generation: Generation) -> None: ...
    async def generations(self) -> list[Generation]: ...
    async def promote(self, name: str) -> None: ...
    async def write(self, generation: str, operations: Sequence[IndexOperation]) -> WriteReport: ...


class Filling(Protocol):
    """Which generations get every document, and what they hold (`stores.generation_jobs`)."""

    async def filled(self) -> Mapping[str, datetime]: ...
    async def fill(self, generation: str, *, documents: Sequence[UUID] | None = None) -> bool: ...
    async def emptied(self, generation: str) -> None: ...
    async def vectors(self, generation: str, document_id: UUID, version: int) -> str | None: ...


class Counted(Protocol):
    """What is asked of `stores.jobs.JobStore`."""

    async def any_indexed(self) -> bool: ...


class Generations:
    """`live` and `beside` are as of the last `prepare`. `first` is made when there is no generation at all."""

    def __init__(self, index: WritableIndex, filling: Filling, jobs: Counted, first: Generation) -> None:
        self.live = first
        self.beside: dict[str, Generation] = {}
        self._index = index
        self._filling = filling
        self._jobs = jobs
        self._first = first
        self._sound: set[str] = set()
        self._queued: dict[str, datetime | None] = {}
        """Generations of which all that is missing is queued -> when their filling began."""

    async def prepare(self) -> None:
        """See which there are, and that they can be written; an empty live one is made when there is none or it was lost.

        That only while no document counts as indexed, else it would answer as if they did not exist: raises
        `Unavailable` (`search.index_missing`) until `medsearch index rebuild` has queued them all. Raises it
        (`index.generation_mismatch`) when the live one was made by another analysis of words.
        """
        there = {one.name: one for one in await self._index.generations()}
        live = next((one for one in there.values() if one.state is GenerationState.LIVE), None)
        if live is None or await self._is_lost(live):
            live = live or self._first
            if await self._jobs.any_indexed():
                raise lost()
            await self._index.create(live)
            await self._index.promote(live.name)
        if live.analysis != self._first.analysis:
            log.error("generation_mismatch", live=live.analysis, ours=self._first.analysis)
            raise Unavailable(
                "The live index was made by another analysis of words.", code="index.generation_mismatch"
            )
        if live != self.live and live.encoder != self._first.encoder:
            log.warning("encoder_not_configured", live=live.encoder, configured=self._first.encoder)
        self.live = live
        self.beside = {name: one for name, one in there.items() if name != live.name}
        for other in self.beside.values():
            if other.state is GenerationState.BUILDING and await self._is_lost(other):
                await self._make_anew(other)

    async def fill(self) -> None:
        """Queue what is missing in those that are to have every document: the live one, and those that are built."""
        filled = await self._filling.filled()
        wanted: dict[str, datetime | None] = {self.live.name: None}
        wanted |= {name: begun for name, begun in filled.items() if name in self.beside}
        self._queued = dict(self._queued.items() & wanted.items())
        for name in wanted.keys() - self._queued.keys():
            if await self._filling.fill(name):
                self._queued[name] = wanted[name]

    async def follow(self, documents: Sequence[UUID]) -> None:
        """These are new in the live one: queue them for those that have all others."""
        for name in self._queued if documents else ():
            if name != self.live.name:
                await self._filling.fill(name, documents=documents)

    async def vectors(self, document_id: UUID, version: int) -> str | None:
        """The key of the vectors by which the live one held this version before."""
        return await self._filling.vectors(self.live.name, document_id, version)

    def named(self, name: str | None) -> Generation:
        """For None the live one; raises `Unavailable` while nothing is known of it."""
        if name in (None, self.live.name):
            return self.live
        if name not in self.beside:
            raise not_ready()
        return self.beside[name]

    def distrust(self, name: str | None = None) -> None:
        """There was trouble with it: the next `prepare` looks whether it is lost. With all: so does `fill` at everything."""
        if name:
            self._sound.discard(name)
        else:
            self._sound.clear()
            self._queued.clear()

    async def _is_lost(self, generation: Generation) -> bool:
        """Whether what was written to it is gone: then not even nothing can be written."""
        if generation.name in self._sound:
            return False
        try:
            await self._index.write(generation.name, [])
        except Unavailable as error:
            if error.code != MISSING:
                raise
            return True
        self._sound.add(generation.name)
        return False

    async def _make_anew(self, generation: Generation) -> None:
        """One that was being built is lost: nothing needs it but the build, which begins again."""
        log.warning("generation_lost", generation=generation.name)
        await self._filling.emptied(generation.name)
        await self._index.create(generation)
        self._queued.pop(generation.name, None)

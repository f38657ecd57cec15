"""The one writer of the index: takes `index` jobs in batches, one commit or refresh a batch.

Order of effects: the index, then `visibility` in `search_db`, then the jobs with `document.processed`. Each
may be repeated: ids are deterministic and a lower revision loses. What a document is like is read just before
it is written, so that a late change wins over the event that announced an early one.

New documents go to the live generation; changes and deletions to all there are; into a generation that is built
beside the live one, documents are brought by `embed` jobs, which the writer queues for what is missing there.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from actors.generations import Generations, WritableIndex
from actors.heart import Heart
from actors.stage_worker import Waker, lane_order
from actors.stages import failure
from domain.access import effective_principals
from domain.documents import DocumentState
from domain.errors import LeaseLost, NotFound, StorageFull, Unavailable
from domain.job_life import DAMAGED
from domain.jobs import Failure, JobKind, Lease, Stage
from domain.search import (
    DeleteDocument,
    IndexOperation,
    PutDocument,
    UpdateDocument,
)
from models.analysis import stems
from models.artefacts import ArtefactFormat, encoder_of_vectors, load_annotation, load_vectors
from models.records import index_records
from stores.jobs import JobStore
from stores.ports import BlobStore
from stores.search.errors import MISSING
from stores.visibility import Visible

MAX_PASSAGES = 20_000
"""A batch ends when it holds so many passages, however few documents they are from."""

MOST_REST_SECONDS = 0.5
"""After a batch that was not full the writer rests as long as it wrote, so that a commit serves more documents."""

AWAY = (Unavailable, StorageFull)
"""A store cannot be used now: no document's fault, and counted against none."""

log = structlog.get_logger(__name__)


class Directory(Protocol):
    """What the document service publishes, for many documents at once."""

    async def states(self, document_ids: Sequence[UUID]) -> dict[UUID, DocumentState]: ...


class VisibilityStore(Protocol):
    """What search may show (`stores.visibility`)."""

    async def raise_to(self, rows: Sequence[Visible]) -> None: ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one job asks of the index and of `visibility`."""

    lease: Lease
    operation: IndexOperation
    visible: Visible


Checkpoint = Callable[[str, Sequence[Lease]], Awaitable[None]]
"""Called with `claimed`, `written`, `visible` and `finished`; tests stop here."""


async def pass_by(_: str, __: Sequence[Lease]) -> None:
    """The checkpoint of production."""


class IndexWriter:
    """`run` is the duty of the leader: it works until it is cancelled."""

    def __init__(
        self,
        name: str,
        *,
        jobs: JobStore,
        index: WritableIndex,
        generations: Generations,
        directory: Directory,
        visibility: VisibilityStore,
        blobs: BlobStore,
        heart: Heart,
        waker: Waker,
        batch: int,
        poll_seconds: float,
        away_seconds: float,
        checkpoint: Checkpoint = pass_by,
    ) -> None:
        self.name = name
        self._jobs = jobs
        self._index = index
        self._generations = generations
        self._directory = directory
        self._visibility = visibility
        self._blobs = blobs
        self._heart = heart
        self._waker = waker
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._away_seconds = away_seconds
        self._checkpoint = checkpoint

    async def run(self) -> None:
        """Make sure of the live generation, then write batch after batch; wait for an index that is away."""
        alone = False
        for turn in itertools.count(1):
            heard = self._waker.count
            try:
                alone = alone or await self._take_over()
                await self._generations.prepare()
                await self._jobs.expire()
                began = time.monotonic()
                written = await self.write_batch(turn)
                await self._generations.fill()
                if not written:
                    await self._waker.wait(self._poll_seconds, since=heard)
                elif written < self._batch:
                    await asyncio.sleep(min(time.monotonic() - began, MOST_REST_SECONDS))
            except AWAY as error:
                log.warning("index_writer_waits", reason=error.code)
                self._generations.distrust()
                await asyncio.sleep(self._away_seconds)

    async def _take_over(self) -> bool:
        """Nobody else leads: what a writer before us held is anybody's, without waiting for its leases to end."""
        for job in await self._jobs.take_over(Stage.INDEX):
            log.warning("lease_taken_over", document_id=str(job.document_id), lost_leases=job.lost_leases)
        return True

    async def write_batch(self, turn: int = 1) -> int:
        """Claim and write one batch; the number of jobs claimed. Raises `Unavailable` or `StorageFull`."""
        leases = await self._jobs.claim([Stage.INDEX], self.name, lanes=lane_order(turn), limit=self._batch)
        if not leases:
            return 0
        with self._heart.holding(*leases):
            try:
                await self._checkpoint("claimed", leases)
                await self._write(leases)
            except AWAY:
                await self._postpone(leases)
                raise
            except asyncio.CancelledError:
                await asyncio.shield(self._give_back(leases))
                raise
            except Exception:
                await self._jobs.release_holder(self.name)
                raise
        return len(leases)

    async def _write(self, leases: Sequence[Lease]) -> None:
        states = await self._directory.states([lease.document_id for lease in leases])
        group: list[Prepared] = []
        passages = 0
        for lease in leases:
            prepared = await self._prepared(lease, states.get(lease.document_id))
            if prepared is None:
                continue
            group.append(prepared)
            passages += len(prepared.operation.passages) if isinstance(prepared.operation, PutDocument) else 1
            if passages >= MAX_PASSAGES:
                await self._apply(group)
                group, passages = [], 0
        await self._apply(group)

    async def _prepared(self, lease: Lease, state: DocumentState | None) -> Prepared | None:
        """What the job asks for; None when there is nothing to do, and the job is settled already."""
        gone = state is None or state.deleted
        if lease.kind is JobKind.DELETE:
            revision = max(lease.revision, state.revision if state else 0)
            return Prepared(lease, DeleteDocument(lease.document_id, revision), _gone(lease, revision))
        if gone or state is None or (lease.kind is not JobKind.UPDATE and state.version != lease.version):
            await self._settle(self._jobs.drop(lease))
            return None
        if lease.kind is JobKind.UPDATE:
            return Prepared(lease, _update(state), Visible.of(state))
        try:
            return Prepared(lease, await self._records(lease, state), Visible.of(state))
        except Unavailable:
            if lease.generation is None:
                raise
            await self._postpone([lease])
            return None
        except (ArtefactFormat, NotFound) as error:
            log.warning("artefact_damaged", document_id=str(lease.document_id), exc_info=error)
            await self._settle(self._jobs.fail(lease, failure(DAMAGED)))
            return None
        except (LookupError, ValueError) as error:
            log.warning("records_failed", document_id=str(lease.document_id), exc_info=error)
            await self._settle(self._jobs.fail(lease, failure("model_failed")))
            return None

    async def _records(self, lease: Lease, state: DocumentState) -> PutDocument:
        encoder = self._generations.named(lease.generation).encoder
        annotation = await self._blobs.read(lease.artefacts[Stage.ANNOTATE.value])
        vectors = await self._blobs.read(lease.artefacts[Stage.EMBED.value])
        if lease.generation is None and encoder_of_vectors(vectors) != encoder:
            stored = await self._generations.vectors(lease.document_id, lease.version)
            vectors = await self._blobs.read(stored) if stored else vectors

        def build() -> PutDocument:
            loaded = load_vectors(vectors, encoder=encoder)
            return index_records(state, load_annotation(annotation), loaded)

        return await asyncio.to_thread(build)

    async def _apply(self, group: Sequence[Prepared]) -> None:
        """Index, visibility, artefacts of what is gone, jobs: in this order."""
        if not group:
            return
        live = self._generations.live.name
        ours = await self._accepted(live, [one for one in group if not one.lease.generation])
        changes = [one.operation for one in ours if not isinstance(one.operation, PutDocument)]
        for name in self._generations.beside if changes else ():
            await self._change_beside(name, changes)
        leases = [one.lease for one in [*ours, *await self._put_beside(group)]]
        if not leases:
            return
        await self._checkpoint("written", leases)
        await self._visibility.raise_to([one.visible for one in ours])
        await self._checkpoint("visible", leases)
        for lease in leases:
            await self._remove_artefacts(lease)
        for refused in await self._jobs.finish(leases, live):
            log.warning("lease_lost", stage=Stage.INDEX, document_id=str(refused.document_id))
        new = [one.lease.document_id for one in ours if one.lease.kind is JobKind.PROCESS]
        await self._generations.follow(new)
        await self._checkpoint("finished", leases)
        log.info("indexed", documents=len(leases), request_ids=[lease.request_id for lease in leases])

    async def _change_beside(self, name: str, changes: Sequence[IndexOperation]) -> None:
        """Changes and deletions in a generation that is not live; one that is gone shows nothing to anybody."""
        try:
            await self._index.write(name, changes)
        except Exception as error:
            self._generations.distrust(name)
            there = name in {one.name for one in await self._index.generations()}
            if there and getattr(error, "code", None) != MISSING:
                raise
            log.warning("generation_gone", generation=name)

    async def _put_beside(self, group: Sequence[Prepared]) -> list[Prepared]:
        """Those of the group that were written to a generation of their own: its trouble is not the live one's."""
        written: list[Prepared] = []
        for name in {one.lease.generation for one in group if one.lease.generation}:
            own = [one for one in group if one.lease.generation == name]
            try:
                written += await self._accepted(name, own)
            except AWAY as error:
                log.warning("generation_away", generation=name, reason=error.code)
                self._generations.distrust(name)
                await self._postpone([one.lease for one in own])
        return written

    async def _accepted(self, generation: str, group: Sequence[Prepared]) -> Sequence[Prepared]:
        """Write all at once; when the index refuses, one by one, so that only what it refuses fails."""
        if not group:
            return group
        try:
            await self._index.write(generation, [prepared.operation for prepared in group])
        except AWAY:
            raise
        except Exception as error:
            log.warning("index_refused", documents=len(group), exc_info=error)
            if len(group) > 1:
                return [one for prepared in group for one in await self._accepted(generation, [prepared])]
            await self._settle(self._jobs.fail(group[0].lease, failure("index_unavailable")))
            return []
        return group

    async def _remove_artefacts(self, lease: Lease) -> None:
        """Those of a deleted document, or of the versions before this one."""
        names = (self._generations.live.name, *self._generations.beside)
        own = [f"vectors/{name}/{lease.document_id}" for name in names]
        for folder in (f"artefacts/{lease.document_id}", *own):
            if lease.kind is JobKind.DELETE:
                await self._blobs.delete(folder)
            elif lease.kind is not JobKind.UPDATE:
                for version in range(1, lease.version):
                    await self._blobs.delete(f"{folder}/{version}")

    async def _postpone(self, leases: Sequence[Lease]) -> None:
        """An index that is away is no document's fault: nothing is counted."""
        away: Failure = failure("index_unavailable")
        for lease in leases:
            await self._settle(self._jobs.postpone(lease, away, self._away_seconds))

    async def _give_back(self, leases: Sequence[Lease]) -> None:
        """What is not finished when we have to stop; it costs nothing."""
        with suppress(*AWAY):
            for lease in leases:
                await self._settle(self._jobs.release(lease))

    async def _settle(self, change: Awaitable[object]) -> None:
        """A job that is not ours any more needs no settling."""
        try:
            await change
        except LeaseLost:
            log.warning("lease_lost", stage=Stage.INDEX)


def _update(state: DocumentState) -> UpdateDocument:
    return UpdateDocument(
        document_id=state.document_id,
        version=state.version,
        revision=state.revision,
        access=tuple(sorted(effective_principals(state.access))),
        title=state.title or state.filename,
        document_type=state.document_type,
        department=state.department,
        patient=state.patient,
        date=state.document_date,
        title_stems=" ".join(stems(state.title or state.filename)),
    )


def _gone(lease: Lease, revision: int) -> Visible:
    return Visible(lease.document_id, lease.version, revision, (), deleted=True)

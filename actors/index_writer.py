"""The one writer of the index: takes `index` jobs in batches, one commit or refresh a batch.

Order of effects: the index, then `visibility` in `search_db`, then the jobs with `document.processed`. Each
may be repeated: ids are deterministic and a lower revision loses. What a document is like is read just before
it is written, so that a late change wins over the event that announced an early one.
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
    Generation,
    GenerationState,
    IndexOperation,
    PutDocument,
    UpdateDocument,
)
from models.analysis import stems
from models.artefacts import ArtefactFormat, load_annotation, load_vectors
from models.records import index_records
from stores.jobs import JobStore
from stores.ports import BlobStore, WriteReport
from stores.search.errors import MISSING, lost
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


class WritableIndex(Protocol):
    """The write side of `stores.ports.SearchIndex`."""

    async def create(self, generation: Generation) -> None: ...
    async def generations(self) -> list[Generation]: ...
    async def promote(self, name: str) -> None: ...
    async def write(self, generation: str, operations: Sequence[IndexOperation]) -> WriteReport: ...


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
        directory: Directory,
        visibility: VisibilityStore,
        blobs: BlobStore,
        generation: Generation,
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
        self._directory = directory
        self._visibility = visibility
        self._blobs = blobs
        self._generation = generation
        self._heart = heart
        self._waker = waker
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._away_seconds = away_seconds
        self._checkpoint = checkpoint

    async def run(self) -> None:
        """Make sure of the live generation, then write batch after batch; wait for an index that is away."""
        alone = ready = False
        for turn in itertools.count(1):
            heard = self._waker.count
            try:
                alone = alone or await self._take_over()
                ready = ready or await self.prepare()
                await self._jobs.expire()
                began = time.monotonic()
                written = await self.write_batch(turn)
                if not written:
                    await self._waker.wait(self._poll_seconds, since=heard)
                elif written < self._batch:
                    await asyncio.sleep(min(time.monotonic() - began, MOST_REST_SECONDS))
            except AWAY as error:
                log.warning("index_writer_waits", reason=error.code)
                ready = False
                await asyncio.sleep(self._away_seconds)

    async def _take_over(self) -> bool:
        """Nobody else leads: what a writer before us held is anybody's, without waiting for its leases to end."""
        for job in await self._jobs.take_over(Stage.INDEX):
            log.warning("lease_taken_over", document_id=str(job.document_id), lost_leases=job.lost_leases)
        return True

    async def prepare(self) -> bool:
        """See that the live generation is there and ours; an empty one is made when there is none, or it was lost.

        That only while no document counts as indexed, else it would answer as if they did not exist: raises
        `Unavailable` (`search.index_missing`) until `medsearch index rebuild` has queued them all. Raises it
        (`index.generation_mismatch`) when the live generation was made by other models.
        """
        live = next((g for g in await self._index.generations() if g.state is GenerationState.LIVE), None)
        if live is None or await self._is_lost(live):
            live = live or self._generation
            if await self._jobs.any_indexed():
                raise lost()
            await self._index.create(live)
            await self._index.promote(live.name)
        made, ours = ((g.encoder, g.dimension, g.analysis) for g in (live, self._generation))
        if made != ours:
            log.error("generation_mismatch", live=made, configured=ours)
            raise Unavailable("The live index was made by other models.", code="index.generation_mismatch")
        self._generation = live
        return True

    async def _is_lost(self, generation: Generation) -> bool:
        """Whether what was written to it is gone: then not even nothing can be written."""
        try:
            await self._index.write(generation.name, [])
        except Unavailable as error:
            if error.code != MISSING:
                raise
            return True
        return False

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
        if gone or state is None or (lease.kind is JobKind.PROCESS and state.version != lease.version):
            await self._settle(self._jobs.drop(lease))
            return None
        if lease.kind is JobKind.UPDATE:
            return Prepared(lease, _update(state), Visible.of(state))
        try:
            return Prepared(lease, await self._records(lease, state), Visible.of(state))
        except (ArtefactFormat, NotFound) as error:
            log.warning("artefact_damaged", document_id=str(lease.document_id), exc_info=error)
            await self._settle(self._jobs.fail(lease, failure(DAMAGED)))
            return None
        except (LookupError, ValueError) as error:
            log.warning("records_failed", document_id=str(lease.document_id), exc_info=error)
            await self._settle(self._jobs.fail(lease, failure("model_failed")))
            return None

    async def _records(self, lease: Lease, state: DocumentState) -> PutDocument:
        annotation = await self._blobs.read(lease.artefacts[Stage.ANNOTATE.value])
        vectors = await self._blobs.read(lease.artefacts[Stage.EMBED.value])

        def build() -> PutDocument:
            loaded = load_vectors(vectors, encoder=self._generation.encoder)
            return index_records(state, load_annotation(annotation), loaded)

        return await asyncio.to_thread(build)

    async def _apply(self, group: Sequence[Prepared]) -> None:
        """Index, visibility, artefacts of what is gone, jobs: in this order."""
        group = await self._accepted(group)
        leases = [prepared.lease for prepared in group]
        if not group:
            return
        await self._checkpoint("written", leases)
        await self._visibility.raise_to([prepared.visible for prepared in group])
        await self._checkpoint("visible", leases)
        for lease in leases:
            await self._remove_artefacts(lease)
        for refused in await self._jobs.finish(leases):
            log.warning("lease_lost", stage=Stage.INDEX, document_id=str(refused.document_id))
        await self._checkpoint("finished", leases)
        log.info("indexed", documents=len(leases), request_ids=[lease.request_id for lease in leases])

    async def _accepted(self, group: Sequence[Prepared]) -> Sequence[Prepared]:
        """Write all at once; when the index refuses, one by one, so that only what it refuses fails."""
        if not group:
            return group
        try:
            await self._index.write(self._generation.name, [prepared.operation for prepared in group])
        except AWAY:
            raise
        except Exception as error:
            log.warning("index_refused", documents=len(group), exc_info=error)
            if len(group) > 1:
                return [one for prepared in group for one in await self._accepted([prepared])]
            await self._settle(self._jobs.fail(group[0].lease, failure("index_unavailable")))
            return []
        return group

    async def _remove_artefacts(self, lease: Lease) -> None:
        """Those of a deleted document, or of the versions before this one."""
        if lease.kind is JobKind.DELETE:
            await self._blobs.delete(f"artefacts/{lease.document_id}")
        elif lease.kind is JobKind.PROCESS:
            for version in range(1, lease.version):
                await self._blobs.delete(f"artefacts/{lease.document_id}/{version}")

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

"""A worker of a pool: claims a job, runs its stages one after the other, and hands it over to the index.

While it works on a bulk document it takes in online ones, which are computed in a thread of their own.

A stage's result is durable before the job goes on, so that a crash repeats one stage at most. Whoever lost
the lease writes nothing and cleans up behind itself.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from actors.embedders import MODEL_AWAY
from actors.heart import Heart, Holding
from actors.stages import StageResult, failure
from domain.errors import LeaseLost, Unavailable
from domain.job_life import Job
from domain.jobs import Failure, Lane, Lease, Stage
from stores.ports import BlobStore

BULK_TURN = 8
"""Every so many claims the bulk lane comes first, so that it never starves."""

STORAGE_WAIT_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Queue(Protocol):
    """What a worker asks of `stores.jobs.JobStore`."""

    async def claim(
        self, stages: Sequence[Stage], holder: str, *, lanes: Sequence[Lane] = ..., limit: int = 1
    ) -> list[Lease]: ...
    async def complete_stage(self, lease: Lease, key: str, facts: Any, *, keep: bool) -> Lease | None: ...
    async def fail(self, lease: Lease, failure: Failure) -> Job: ...
    async def postpone(self, lease: Lease, failure: Failure, wait_seconds: float) -> None: ...
    async def release(self, lease: Lease) -> None: ...


class StageRunner(Protocol):
    """Runs the stage that a lease names."""

    async def run(self, lease: Lease) -> StageResult | Failure: ...


class Waker(Protocol):
    """Sleeps until there may be work (`stores.listening.Listener`)."""

    count: int

    async def wait(self, seconds: float, *, since: int | None = None) -> int: ...


Checkpoint = Callable[[str, Lease], Awaitable[None]]
"""Called with `claimed`, `computed`, `stored` and `advanced` as the work goes on; tests stop here."""


async def pass_by(_: str, __: Lease) -> None:
    """The checkpoint of production."""


def lane_order(turn: int) -> tuple[Lane, Lane]:
    """Online first, but now and then bulk."""
    return (Lane.BULK, Lane.ONLINE) if turn % BULK_TURN == 0 else (Lane.ONLINE, Lane.BULK)


def artefact_key(lease: Lease, fence: int | None = None) -> str:
    """Where the lease's stage puts its result: no two leases share a key."""
    number = lease.fence if fence is None else fence
    result = f"{lease.document_id}/{lease.version}/{lease.stage.value}"
    if lease.generation:  # which may be filled again, by jobs that begin to count anew
        return f"vectors/{lease.generation}/{result}.{lease.job_id.hex}.{number}"
    return f"artefacts/{result}.{number}"


class StageWorker:
    """One worker, known as `name`. `run` returns after `drain`, when the work at hand was handed on."""

    def __init__(
        self,
        name: str,
        stages: Sequence[Stage],
        *,
        queue: Queue,
        runner: StageRunner,
        blobs: BlobStore,
        heart: Heart,
        waker: Waker,
        poll_seconds: float,
        checkpoint: Checkpoint = pass_by,
    ) -> None:
        self.name = name
        self._stages = tuple(stages)
        self._queue = queue
        self._runner = runner
        self._blobs = blobs
        self._heart = heart
        self._waker = waker
        self._poll_seconds = poll_seconds
        self._checkpoint = checkpoint
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Finish the stage at hand, then claim no more."""
        self._draining.set()

    async def run(self) -> None:
        """Work until drained. A job's trouble stays its own; stores that are away are waited for."""
        for turn in itertools.count(1):
            if self._draining.is_set():
                return
            heard = self._waker.count
            if not await self._next(*lane_order(turn)):
                await self._rest(heard)

    async def _next(self, *lanes: Lane) -> bool:
        """Claim a document and work on it; False when there is none, or the queue is away."""
        try:
            leases = await self._queue.claim(self._stages, self.name, lanes=lanes)
            for lease in leases:
                await (self._beside(lease) if lease.lane is Lane.BULK else self._work(lease))
        except Unavailable as error:
            log.warning("store_away", reason=error.code)
            return False
        return bool(leases)

    async def _beside(self, lease: Lease) -> None:
        """Work on a bulk document and, while that takes its time, on online ones: they do not wait for it."""
        bulk = asyncio.ensure_future(self._work(lease))
        try:
            while not bulk.done() and not self._draining.is_set():
                heard = self._waker.count
                if not await self._next(Lane.ONLINE):
                    await self._rest(heard, bulk)
            await bulk
        finally:
            await _end(bulk)

    async def _rest(self, heard: int, *others: asyncio.Future[Any]) -> None:
        """Sleep until there may be work, one of the others ends, or the drain."""
        sleeping: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._waker.wait(self._poll_seconds, since=heard)),
            asyncio.ensure_future(self._draining.wait()),
        ]
        try:
            await asyncio.wait([*sleeping, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(*sleeping)

    async def _work(self, lease: Lease) -> None:
        """Run this stage and those behind it, as long as the job is ours."""
        with structlog.contextvars.bound_contextvars(
            request_id=lease.request_id, document_id=str(lease.document_id), worker=self.name
        ):
            current: Lease | None = lease
            while current is not None:
                await self._checkpoint("claimed", current)
                try:
                    current = await self._stage(current)
                except LeaseLost:
                    log.warning("lease_lost", stage=current.stage if current else None)
                    return

    async def _stage(self, lease: Lease) -> Lease | None:
        """One stage; the lease of the next one when we go on with it."""
        with self._heart.holding(lease) as holding:
            try:
                result = await self._computed(lease, holding)
                if isinstance(result, Failure):
                    await self._failed(lease, result)
                    return None
                return await self._store(lease, result)
            except Unavailable as error:
                log.warning("stage_postponed", stage=lease.stage, reason=error.code)
                reason = "model_unavailable" if error.code == MODEL_AWAY else "storage_unavailable"
                await self._queue.postpone(lease, failure(reason), STORAGE_WAIT_SECONDS)
                return None

    async def _computed(self, lease: Lease, holding: Holding) -> StageResult | Failure:
        """The stage's result; raises `LeaseLost` as soon as the heart says so."""
        work = asyncio.ensure_future(self._runner.run(lease))
        lost = asyncio.ensure_future(holding.lost.wait())
        try:
            await asyncio.wait([work, lost], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise LeaseLost("The lease was lost during the work.")
            result = work.result()
        finally:
            await _end(work, lost)
        await self._checkpoint("computed", lease)
        return result

    async def _store(self, lease: Lease, result: StageResult) -> Lease | None:
        key = artefact_key(lease)
        await self._blobs.put(key, result.content)
        await self._checkpoint("stored", lease)
        keep = lease.stage.next in self._stages and not self._draining.is_set()
        try:
            following = await self._queue.complete_stage(lease, key, result.facts, keep=keep)
        except LeaseLost:
            await self._blobs.delete(key)
            raise
        await self._checkpoint("advanced", lease)
        if lease.attempt > 1:
            await self._remove_earlier(lease)
        log.info("stage_done", stage=lease.stage, attempt=lease.attempt)
        return following

    async def _failed(self, lease: Lease, reason: Failure) -> None:
        job = await self._queue.fail(lease, reason)
        log.warning(
            "stage_failed",
            stage=lease.stage,
            reason=reason.code,
            status=job.state.status,
            failures=job.failures,
        )

    async def _remove_earlier(self, lease: Lease) -> None:
        """What earlier tries of this stage stored but could not report."""
        for fence in range(1, lease.fence):
            with suppress(Unavailable):
                await self._blobs.delete(artefact_key(lease, fence))


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs, and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

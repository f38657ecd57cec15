"""Keeps the pools at their size: starts and drains workers, notices the dead, gives their work to others.

Workers outlive a supervisor: they are recorded in Postgres before they are started and found again by name. A
successor takes over those of its own release and replaces the others, so that a redeploy loses no work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from actors.metrics import Meter
from actors.scaling import CRASH_LIMIT_SECONDS, Observation, Scale, Trend, decide, wanted
from config.settings import PoolSettings
from domain.ids import new_id
from domain.jobs import Stage
from stores.job_reports import JobReports
from stores.jobs import JobStore
from stores.workers import WorkerRow, WorkerState, WorkerStore

TIDY_EVERY_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class Launcher(Protocol):
    """Starts and reaches workers; Ray in production."""

    async def start(self, name: str, pool: str) -> None:
        """Ask for a worker; it may be long in coming when resources are missing."""
        ...

    async def ended(self, name: str) -> None:
        """Return when the worker has ended, or is not to be found."""
        ...

    async def drain(self, name: str) -> None:
        """Ask it to finish what it works on and to stop; does nothing when it is gone."""
        ...

    async def kill(self, name: str) -> None: ...


class PoolSupervisor:
    """`run` is the duty of the leader: it works until it is cancelled, and leaves the workers running."""

    def __init__(
        self,
        name: str,
        pools: Mapping[str, PoolSettings],
        *,
        release: str,
        launcher: Launcher,
        workers: WorkerStore,
        jobs: JobStore,
        reports: JobReports,
        meter: Meter,
        turn_seconds: float,
        silent_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._pools = dict(pools)
        self._release = release
        self._launcher = launcher
        self._workers = workers
        self._jobs = jobs
        self._reports = reports
        self._meter = meter
        self._turn_seconds = turn_seconds
        self._silent_seconds = silent_seconds
        self._clock = clock
        self._leading_since = clock()
        self._tidy_at = clock()
        self._trends = {pool: Trend() for pool in self._pools}
        self._said: dict[str, str] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Take over the workers there are, then look after all pools turn by turn."""
        self._trends = {pool: Trend() for pool in self._pools}
        self._leading_since = self._clock()
        try:
            while True:
                await self._tidy()
                await self.turn()
                await self._wait()
        finally:
            for watch in self._watches.values():
                watch.cancel()
            await asyncio.gather(*self._watches.values(), return_exceptions=True)
            self._watches.clear()

    async def _tidy(self) -> None:
        """Now and then, remove what nobody will ask for any more."""
        if self._clock() >= self._tidy_at:
            await self._workers.forget()
            await self._jobs.forget()
            self._tidy_at = self._clock() + TIDY_EVERY_SECONDS

    async def turn(self) -> None:
        """Bury the dead, return what they held, expire leases, decide for each pool and apply it."""
        await self._workers.supervised(self.name)
        live = await self._bury(await self._workers.live())
        await self._jobs.expire()
        for pool, rule in self._pools.items():
            await self._look_after(pool, rule, [worker for worker in live if worker.pool == pool])
        for worker in live:
            if worker.pool not in self._pools and worker.state is not WorkerState.DRAINING:
                await self._drain(worker)

    async def _wait(self) -> None:
        """Until the next turn is due, or a worker ended."""
        watches = [watch for watch in self._watches.values() if not watch.done()]
        if watches:
            await asyncio.wait(watches, timeout=self._turn_seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(self._turn_seconds)

    async def _bury(self, workers: Sequence[WorkerRow]) -> list[WorkerRow]:
        """Settle those that have ended; the others. A worker that is silent too long is ended."""
        alive = []
        for worker in workers:
            if worker.name not in self._watches:
                self._watches[worker.name] = asyncio.create_task(self._launcher.ended(worker.name))
                await asyncio.sleep(0)
            if self._watches[worker.name].done():
                await self._settle(worker)
                continue
            if self._silent(worker):
                log.warning("worker_silent", worker=worker.name, seconds=round(worker.silent_seconds))
                await self._launcher.kill(worker.name)
            alive.append(worker)
        for name in self._watches.keys() - {worker.name for worker in workers}:
            self._watches.pop(name).cancel()
        return alive

    async def _settle(self, worker: WorkerRow) -> None:
        """It ended without saying so: what it held counts as lost. Should it live after all, it may not go on."""
        del self._watches[worker.name]
        await self._launcher.kill(worker.name)
        jobs = await self._jobs.release_holder(worker.name)
        await self._workers.move(worker.name, WorkerState.DIED)
        if worker.pool in self._trends:
            self._trends[worker.pool] = self._trends[worker.pool].died(worker.age_seconds, self._clock())
        log.warning("worker_died", worker=worker.name, pool=worker.pool, jobs=len(jobs))
        self._meter.count("workers_died", pool=worker.pool)

    async def _look_after(self, pool: str, rule: PoolSettings, workers: Sequence[WorkerRow]) -> None:
        now = self._clock()
        demand = await self._reports.demand([Stage(stage) for stage in rule.stages])
        active = [worker for worker in workers if worker.state is not WorkerState.DRAINING]
        outdated = [worker for worker in active if self._outdated(worker, rule)]
        fresh = [worker for worker in active if worker not in outdated]
        running = [worker for worker in fresh if worker.state is WorkerState.RUNNING]
        observation = Observation(
            queued=demand.queued,
            leased=demand.leased,
            oldest_seconds=demand.oldest_seconds,
            fresh=len(fresh),
            fresh_running=len(running),
            outdated=len(outdated),
            draining=len(workers) - len(active),
        )
        trend = self._trends[pool]
        if any(worker.age_seconds > CRASH_LIMIT_SECONDS for worker in running):
            trend = trend.survived()
        trend = trend.follow(wanted(observation, rule) - len(fresh), now)
        scale = decide(trend.seen(observation, now), rule)
        self._trends[pool] = trend.scaled() if scale.delta else trend
        await self._apply(pool, scale, observation, outdated if scale.outdated else fresh)
        self._measure(pool, observation)

    async def _apply(
        self, pool: str, scale: Scale, seen: Observation, candidates: Sequence[WorkerRow]
    ) -> None:
        if scale.reason and (scale.delta or self._said.get(pool) != scale.reason):
            await self._tell(pool, scale, seen)
        self._said[pool] = scale.reason
        for _ in range(scale.delta):
            await self._start(pool)
        for worker in list(reversed(candidates))[: max(-scale.delta, 0)]:
            await self._drain(worker)

    async def _tell(self, pool: str, scale: Scale, seen: Observation) -> None:
        figures = {"workers": seen.active + scale.delta, "backlog": seen.queued, "reason": scale.reason}
        log.info("pool_scaled", pool=pool, delta=scale.delta, **figures)
        await self._workers.decided(
            pool, scale.delta, workers=seen.active + scale.delta, backlog=seen.queued, reason=scale.reason
        )
        self._meter.count("scaling_decisions", pool=pool, direction=_direction(scale.delta))

    async def _start(self, pool: str) -> None:
        name = f"{pool}-{new_id()}"
        await self._workers.starting(name, pool, self._release)
        await self._launcher.start(name, pool)

    async def _drain(self, worker: WorkerRow) -> None:
        """One that has not begun yet (it may wait for resources) is simply ended."""
        if worker.state is WorkerState.STARTING:
            await self._workers.move(worker.name, WorkerState.STOPPED)
            await self._launcher.kill(worker.name)
        else:
            await self._workers.move(worker.name, WorkerState.DRAINING)
            await self._launcher.drain(worker.name)

    def _silent(self, worker: WorkerRow) -> bool:
        """Not when we have only just come: the store may have been away for all of us."""
        if worker.state is WorkerState.STARTING or self._clock() - self._leading_since < self._silent_seconds:
            return False
        return worker.silent_seconds > self._silent_seconds

    def _outdated(self, worker: WorkerRow, rule: PoolSettings) -> bool:
        return worker.release != self._release or worker.age_seconds > rule.recycle_after_seconds

    def _measure(self, pool: str, seen: Observation) -> None:
        self._meter.gauge("pool_workers", seen.active, pool=pool)
        self._meter.gauge("pool_workers_draining", seen.draining, pool=pool)
        self._meter.gauge("pool_backlog", seen.queued, pool=pool)
        self._meter.gauge("pool_leased", seen.leased, pool=pool)
        self._meter.gauge("pool_oldest_seconds", seen.oldest_seconds, pool=pool)


def _direction(delta: int) -> str:
    return "up" if delta > 0 else "down" if delta < 0 else "held"

"""What the heart thread does at each beat: prolong leases and, for a worker, say that it lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

from domain.jobs import Lease
from stores.jobs import JobStore
from stores.postgres import Postgres
from stores.workers import WorkerStore


class LeasePulse:
    """Prolongs leases over a connection of its own (`actors.heart.Pulse`)."""

    def __init__(self, db: Postgres, jobs: JobStore) -> None:
        self._db = db
        self._jobs = jobs

    async def beat(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        return await self._jobs.heartbeat(leases) if leases else []

    async def close(self) -> None:
        await self._db.close()


class WorkerPulse:
    """As `LeasePulse`; also keeps the worker's row alive, and calls `on_orphaned` when nobody supervises."""

    def __init__(
        self,
        leases: LeasePulse,
        workers: WorkerStore,
        name: str,
        *,
        orphan_seconds: float,
        on_orphaned: Callable[[], None],
    ) -> None:
        self._leases = leases
        self._workers = workers
        self._name = name
        self._orphan_seconds = orphan_seconds
        self._on_orphaned = on_orphaned

    async def beat(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        lost = await self._leases.beat(leases)
        unsupervised = await self._workers.seen(self._name, pid=os.getpid(), node=socket.gethostname())
        if unsupervised > self._orphan_seconds:
            self._on_orphaned()
        return lost

    async def close(self) -> None:
        await self._leases.close()

"""Stand-ins for the queue, the blobs and the heart, which implement the ports in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from actors.heart import Heart
from actors.stages import StageResult
from config.settings import ProcessingSettings
from domain import job_life
from domain.errors import LeaseLost, NotFound
from domain.ids import new_id
from domain.job_life import Job
from domain.jobs import Failure, JobKind, Lane, Lease, Stage
from stores.ports import StoredBlob

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryQueue:
    """One queue in memory with the same pure rules as the real one; `lost` are fences that are refused."""

    def __init__(self, rules: ProcessingSettings | None = None) -> None:
        self.rules = rules or ProcessingSettings()
        self.jobs: list[Job] = []
        self.stale: set[int] = set()
        self.asked: list[str] = []

    def add(self, lane: Lane = Lane.ONLINE) -> Job:
        job = Job(new_id(), new_id(), 1, 1, JobKind.PROCESS, lane, job_life.first_state(JobKind.PROCESS))
        self.jobs.append(replace(job, blob_key=f"originals/{job.document_id}/1"))
        return self.jobs[-1]

    async def claim(
        self, stages: Sequence[Stage], holder: str, *, lanes: Sequence[Lane] = tuple(Lane), limit: int = 1
    ) -> list[Lease]:
        for job in self.jobs:
            if job.state.status == "queued" and job.state.stage in stages and job.lane in lanes:
                self.asked.append("job")
                return [self._put(job_life.claimed(job, holder, NOW, 60)).lease]
        self.asked.append("nothing")
        return []

    async def complete_stage(self, lease: Lease, key: str, facts: Any, *, keep: bool) -> Lease | None:
        job = self._put(job_life.advanced(self._held(lease), key, facts, NOW, 60, keep=keep))
        return job.lease if keep else None

    async def fail(self, lease: Lease, failure: Failure) -> Job:
        return self._put(job_life.failed(self._held(lease), failure, NOW, self.rules))

    async def postpone(self, lease: Lease, failure: Failure, wait_seconds: float) -> None:
        self._put(job_life.postponed(self._held(lease), failure, NOW, wait_seconds))

    async def release(self, lease: Lease) -> None:
        self._put(job_life.released(self._held(lease)))

    def _held(self, lease: Lease) -> Job:
        job = next(job for job in self.jobs if job.id == lease.job_id)
        if lease.fence in self.stale or job.fence != lease.fence or job.holder is None:
            raise LeaseLost("not yours")
        return job

    def _put(self, job: Job) -> Job:
        self.jobs[[other.id for other in self.jobs].index(job.id)] = job
        return job


class MemoryBlobs:
    """`BlobStore` as a dictionary."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, limit: int | None = None) -> StoredBlob:
        return await self.put(key, b"".join([chunk async for chunk in chunks]))

    async def put(self, key: str, content: bytes) -> StoredBlob:
        self.content[key] = content
        return StoredBlob(key, "", len(content))

    async def read(self, key: str, *, start: int = 0, size: int | None = None) -> bytes:
        if key not in self.content:
            raise NotFound("no such blob")
        return self.content[key][start:][:size]

    async def stream(self, key: str, *, chunk: int = 1024) -> AsyncIterator[bytes]:
        yield await self.read(key)

    async def rename(self, source: str, target: str) -> None:
        self.content.setdefault(target, self.content.pop(source))

    async def delete(self, prefix: str) -> int:
        gone = [key for key in self.content if key == prefix or key.startswith(f"{prefix}/")]
        for key in gone:
            del self.content[key]
        return len(gone)

    async def local_path(self, key: str) -> Path:
        await self.read(key)
        return Path(key)


class Runner:
    """Answers each stage with what was laid out for it, by default with its name."""

    def __init__(self) -> None:
        self.answers: dict[Stage, list[StageResult | Failure | Exception]] = {}
        self.seen: list[tuple[Stage, int]] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def run(self, lease: Lease) -> StageResult | Failure:
        self.seen.append((lease.stage, lease.attempt))
        await self.hold.wait()
        laid_out = self.answers.get(lease.stage)
        answer = (
            laid_out.pop(0)
            if laid_out
            else StageResult(lease.stage.value.encode(), {lease.stage.value: True})
        )
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class NoPulse:
    """A pulse that loses what it is told to lose."""

    lose: set[Stage] = field(default_factory=set)
    beats: int = 0

    async def beat(self, leases: Sequence[Lease]) -> list[Lease]:
        self.beats += 1
        return [lease for lease in leases if lease.stage in self.lose]

    async def close(self) -> None: ...


class NullMeter:
    """Measures nothing."""

    def gauge(self, name: str, value: float, **tags: str) -> None: ...
    def count(self, name: str, **tags: str) -> None: ...


@contextmanager
def beating(pulse: Any, *, on_stuck: Callable[[], None] = lambda: None, **limits: float) -> Iterator[Heart]:
    """A heart that beats fast, stopped at the end."""
    given = {"seconds": 0.01, "lease_seconds": 5.0, "stuck_seconds": 60.0, **limits}
    heart = Heart(lambda: pulse, on_stuck=on_stuck, **given)
    heart.start()
    try:
        yield heart
    finally:
        heart.stop()


class Waker:
    """Wakes at once, so that a test never waits for a poll."""

    count = 0

    async def wait(self, seconds: float, *, since: int | None = None) -> int:
        await asyncio.sleep(0.001)
        return self.count


def lease(stage: Stage = Stage.EXTRACT, attempt: int = 1, **fields: Any) -> Lease:
    fresh = Lease(
        job_id=new_id(),
        document_id=new_id(),
        version=1,
        revision=1,
        stage=stage,
        lane=Lane.ONLINE,
        fence=1,
        until=NOW + timedelta(seconds=60),
        holder="w",
        request_id="req",
        attempt=attempt,
    )
    return replace(fresh, **fields)

"""What only the stores know, as Prometheus text: backlogs, ages, workers. The rest is in Ray's metrics."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from config.secrets import SecretStore
from config.settings import Service, Settings
from domain.errors import Unavailable
from stores import outbox
from stores.audit_sealing import unsealed
from stores.job_reports import JobReports, QueueStats
from stores.mail.queue import MailQueue
from stores.postgres import Postgres, database
from stores.workers import Decision, WorkerRow, WorkerStore

WITH_OUTBOX: tuple[Service, ...] = ("auth", "document", "processing", "search")

COUNT_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One number; samples of one name share description and label names."""

    name: str
    description: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class Gauges(Protocol):
    """Something that can be measured when it is asked."""

    async def collect(self) -> Sequence[Sample]: ...

    async def close(self) -> None: ...


class StoreGauges:
    """Outboxes, job queue, workers, mails, the audit trail. A database that is away is shown as down, the others are measured."""

    def __init__(
        self, settings: Settings, secrets: SecretStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._databases = {
            service: Postgres(database(settings, service), secrets, size=1) for service in WITH_OUTBOX
        }
        self._jobs = JobReports(self._databases["processing"])
        self._workers = WorkerStore(self._databases["processing"])
        self._clock = clock
        self._indexed = 0
        self._count_at = float("-inf")
        self._databases["audit"] = Postgres(database(settings, "audit", "audit-reader"), secrets, size=1)

    async def collect(self) -> Sequence[Sample]:
        parts = [self._measured(service) for service in self._databases]
        return [sample for samples in await asyncio.gather(*parts) for sample in samples]

    async def close(self) -> None:
        for db in self._databases.values():
            await db.close()

    async def _measured(self, service: Service) -> list[Sample]:
        labels = {"database": f"{service}_db"}
        up = "Whether the database answers."
        try:
            samples = [
                *await (self._trail() if service == "audit" else self._outbox(service)),
                *(await self._processing() if service == "processing" else []),
                *(await self._mail() if service == "auth" else []),
            ]
        except Unavailable:
            return [Sample("medsearch_database_up", up, 0, labels)]
        return [Sample("medsearch_database_up", up, 1, labels), *samples]

    async def _outbox(self, service: Service) -> list[Sample]:
        async with self._databases[service].connection() as connection:
            depth = await outbox.depth(connection)
        labels = {"service": service}
        return [
            Sample("medsearch_outbox_waiting", "Rows not yet delivered.", depth.waiting, labels),
            Sample(
                "medsearch_outbox_oldest_seconds", "Age of the oldest of them.", depth.oldest_seconds, labels
            ),
        ]

    async def _mail(self) -> list[Sample]:
        async with self._databases["auth"].connection() as connection:
            backlog = await MailQueue.backlog(connection)
        return [
            Sample("medsearch_mail_waiting", "Mails neither sent nor given up.", backlog.waiting),
            Sample("medsearch_mail_oldest_seconds", "Age of the oldest of them.", backlog.oldest_seconds),
        ]

    async def _trail(self) -> list[Sample]:
        waiting = await unsealed(self._databases["audit"])
        return [
            Sample("medsearch_audit_unsealed", "Audit records not yet in the chain.", waiting.count),
            Sample(
                "medsearch_audit_unsealed_oldest_seconds",
                "Age of the oldest of them.",
                waiting.oldest_seconds,
            ),
        ]

    async def _processing(self) -> list[Sample]:
        """What `GET /api/v1/processing/stats` says."""
        return [
            *_queue(await self._jobs.stats(), await self._counted()),
            *_workers(await self._workers.live()),
            *_decisions(await self._workers.decisions()),
        ]

    async def _counted(self) -> int:
        """Documents in the index, counted now and then: monitoring asks more often than it is worth."""
        if self._clock() >= self._count_at:
            self._indexed = await self._jobs.indexed()
            self._count_at = self._clock() + COUNT_EVERY_SECONDS
        return self._indexed


def _queue(stats: QueueStats, indexed: int) -> Iterator[Sample]:
    for group in stats.waiting:
        labels = {"status": group.status, "stage": group.stage, "lane": group.lane}
        yield Sample("medsearch_jobs", "Unfinished jobs.", group.count, labels)
    oldest = stats.oldest_seconds
    yield Sample("medsearch_jobs_oldest_seconds", "Age of the oldest unfinished job.", oldest)
    yield Sample("medsearch_jobs_indexed", "Documents in the index.", indexed)
    yield Sample("medsearch_jobs_rejected", "Jobs that ended with their input's fault.", stats.rejected)
    yield Sample("medsearch_jobs_quarantined", "Jobs in quarantine.", stats.quarantined)
    yield Sample("medsearch_processing_paused", "1 while nothing is claimed.", float(stats.paused))
    if (eta := stats.eta_seconds) is not None:
        yield Sample("medsearch_processing_eta_seconds", "Until all that waits is done.", eta)


def _workers(workers: Sequence[WorkerRow]) -> Iterator[Sample]:
    counts = Counter((worker.pool, worker.state.value) for worker in workers)
    for (pool, state), count in sorted(counts.items()):
        yield Sample("medsearch_workers", "Workers.", count, {"pool": pool, "state": state})


def _decisions(newest_first: Sequence[Decision]) -> Iterator[Sample]:
    """The last one of each pool, with its reason."""
    last = {decision.pool: decision for decision in reversed(newest_first)}
    for pool, decision in sorted(last.items()):
        labels = {"pool": pool, "reason": decision.reason}
        yield Sample("medsearch_pool_decision", "Workers added or drained last.", decision.delta, labels)
        decided = decision.decided_at.timestamp()
        yield Sample("medsearch_pool_decision_timestamp_seconds", "When that was.", decided, {"pool": pool})


def exposition(samples: Iterable[Sample]) -> bytes:
    """The Prometheus text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(samples)))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for sample in self._samples:
            family = families.setdefault(
                sample.name, GaugeMetricFamily(sample.name, sample.description, labels=list(sample.labels))
            )
            family.add_metric(list(sample.labels.values()), sample.value)
        return iter(families.values())

"""What only the stores know, as Prometheus text: backlogs, ages, workers. The rest is in Ray's metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from stores.job_reports import JobReports
from stores.postgres import Postgres
from stores.workers import WorkerStore

WITH_OUTBOX: tuple[Service, ...] = ("auth", "document", "processing", "search")


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
    """Outboxes, job queue, workers, the audit trail. A database that is away is shown as down, the others are measured."""

    def __init__(self, settings: Settings, secrets: SecretStore) -> None:
        self._databases = {service: Postgres.of(settings, secrets, service) for service in WITH_OUTBOX}
        self._jobs = JobReports(self._databases["processing"])
        self._workers = WorkerStore(self._databases["processing"])
        self._databases["audit"] = Postgres.of(settings, secrets, "audit", "audit-reader")

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
                *(await self._queue() if service == "processing" else []),
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

    async def _queue(self) -> list[Sample]:
        stats = await self._jobs.stats()
        samples = [
            Sample(
                "medsearch_jobs",
                "Unfinished jobs.",
                group.count,
                {"status": group.status, "stage": group.stage, "lane": group.lane},
            )
            for group in stats.waiting
        ]
        samples += [
            Sample(
                "medsearch_jobs_oldest_seconds", "Age of the oldest unfinished job.", stats.oldest_seconds
            ),
            Sample("medsearch_jobs_quarantined", "Jobs in quarantine.", stats.quarantined),
            Sample("medsearch_processing_paused", "1 while nothing is claimed.", float(stats.paused)),
        ]
        counts: dict[tuple[str, str], int] = {}
        for worker in await self._workers.live():
            key = (worker.pool, worker.state.value)
            counts[key] = counts.get(key, 0) + 1
        return samples + [
            Sample("medsearch_workers", "Workers.", count, {"pool": pool, "state": state})
            for (pool, state), count in sorted(counts.items())
        ]


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

"""An empty queue for each test; waits are short, and leases run out when a test says so (`lapse`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from actors.heart import Heart
from actors.pulses import LeasePulse
from config.secrets import SecretStore
from config.settings import ProcessingSettings, Settings
from domain.events import Event, EventType
from domain.ids import new_id
from domain.jobs import Lane
from stores.intake import Intake
from stores.job_reports import JobReports
from stores.jobs import JobStore
from stores.postgres import Postgres
from tests.contract.processing.writing import Bench

RULES = ProcessingSettings(
    lease_seconds=30, heartbeat_seconds=0.1, backoff_seconds=(0.05, 0.1, 0.2), poll_seconds=0.05
)
TABLES = ("job", "filling", "generation_document", "worker", "scaling_decision", "outbox")

Upload = Callable[..., Awaitable[UUID]]


@pytest.fixture(scope="session")
async def processing(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "processing")
    yield db
    await db.close()


@pytest.fixture
def rules() -> ProcessingSettings:
    return RULES


@pytest.fixture
async def jobs(processing: Postgres, rules: ProcessingSettings) -> JobStore:
    async with processing.transaction() as connection:
        for table in TABLES:
            await connection.execute(f"DELETE FROM {table}")
        await connection.execute("UPDATE claiming SET paused = false")
        await connection.execute("UPDATE supervision SET leader = NULL, seen_at = NULL")
    return JobStore(processing, rules)


@pytest.fixture
def lapse(processing: Postgres) -> Callable[[], Awaitable[None]]:
    """Let every lease have run out a second ago, by the only clock that counts."""

    async def run_out() -> None:
        async with processing.transaction() as connection:
            await connection.execute(
                """
                UPDATE job SET lease_until = clock_timestamp() - interval '1 second'
                WHERE status = 'processing'
                """
            )

    return run_out


@pytest.fixture
def reports(processing: Postgres) -> JobReports:
    return JobReports(processing)


@pytest.fixture
def tell(jobs: JobStore) -> Callable[..., Awaitable[None]]:
    """Apply a document event as the intake does."""

    async def apply(kind: EventType, document_id: UUID, **data: Any) -> None:
        body = {"document_id": str(document_id), "revision": 1, **data}
        event = Event(kind, str(document_id), body, "/medsearch/documents", request_id="req-1")
        async with jobs.db.transaction() as connection:
            await Intake(jobs).apply(connection, event)

    return apply


@pytest.fixture
def upload(tell: Callable[..., Awaitable[None]]) -> Upload:
    """Have a document uploaded; its id."""

    async def uploaded(
        document_id: UUID | None = None, *, version: int = 1, revision: int = 1, lane: Lane = Lane.ONLINE
    ) -> UUID:
        document_id = document_id or new_id()
        key = f"originals/{document_id}/{version}"
        data = {"version": version, "revision": revision, "lane": lane.value, "blob_key": key}
        await tell(EventType.DOCUMENT_UPLOADED, document_id, **data)
        return document_id

    return uploaded


@pytest.fixture
def published(processing: Postgres) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """The data of the events in the outbox, in the order of their sequence."""

    async def events() -> list[dict[str, Any]]:
        async with processing.connection() as connection:
            rows = await connection.fetch(
                "SELECT body FROM outbox ORDER BY (body->'data'->>'sequence')::bigint"
            )
        return [{"type": row["body"]["type"], **row["body"]["data"]} for row in rows]

    return events


@pytest.fixture
async def bench(
    settings: Settings, secrets: SecretStore, jobs: JobStore, upload: Upload
) -> AsyncIterator[Bench]:
    """For tests of the index writer; other modules have benches of their own."""
    search = Postgres.of(settings, secrets, "search")

    def pulse() -> LeasePulse:
        own = Postgres.of(settings, secrets, "processing")
        return LeasePulse(own, JobStore(own, jobs.rules))

    heart = Heart(pulse, seconds=1, lease_seconds=5, stuck_seconds=60, on_stuck=lambda: None)
    heart.start()
    yield Bench(jobs, search, heart, upload)
    await asyncio.to_thread(heart.stop)
    await search.close()

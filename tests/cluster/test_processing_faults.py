"""F2, F3, F14 and F19 on the real platform: each kind of actor is hurt inside a named stage, proven by a barrier.

Deadlines are wide (the machine is shared); what is asserted is that the document is done once, from the stage
where it stood.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import psutil
import pytest

from cluster.databases import OWNER
from deployments.auth.provisioning import Provisioning
from domain.ids import new_id
from stores.postgres import connect, database
from tests.cluster.barriers import barrier
from tests.platform import Platform, running_platform
from tests.waiting import until

PASSWORD = "copper-lantern-meadow-64"
TEXT = "Clinic note\n\nThe patient has no evidence of pneumonia. Known asthma, treated with salbutamol. "
STAGES = ("extract", "annotate", "embed")


@pytest.fixture(scope="module")
def spine(vocabulary_cache: Path) -> Iterator[Platform]:
    """The whole platform, with leases of seconds, and workers that have little to load."""
    settings = {
        "PROCESSING__LEASE_SECONDS": "6",
        "PROCESSING__HEARTBEAT_SECONDS": "1",
        "MODELS__RECOGNIZER": "dictionary",
    }
    with running_platform(models=vocabulary_cache, **settings) as platform:
        yield platform


@dataclass
class Hospital:
    """The platform with a doctor who uploads, and connections to look behind it."""

    platform: Platform
    client: httpx.AsyncClient
    jobs: asyncpg.Connection
    events: asyncpg.Connection

    async def upload(self) -> UUID:
        content = (TEXT * 20 + str(new_id())).encode()
        answer = await self.client.post("/api/v1/documents", params={"filename": "note.txt"}, content=content)
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["id"])

    async def indexed(self, document: UUID, seconds: float = 180) -> None:
        async def done() -> bool:
            answer = await self.client.get(f"/api/v1/documents/{document}/status")
            return answer.status_code == 200 and answer.json()["status"] == "indexed"

        await until(done, seconds)

    async def job(self, document: UUID) -> asyncpg.Record:
        row = await self.jobs.fetchrow("SELECT * FROM job WHERE document_id = $1", document)
        assert row is not None
        return row

    async def outcomes(self, document: UUID) -> list[str]:
        """Of the `document.processed` events in the log."""
        rows = await self.events.fetch(
            "SELECT body FROM event WHERE body->>'type' = 'document.processed' AND body->>'subject' = $1",
            str(document),
        )
        return [row["body"]["data"]["outcome"] for row in rows]

    async def holder(self, document: UUID) -> int:
        """Process id of the worker that has the document."""
        pid = await self.jobs.fetchval(
            "SELECT pid FROM worker JOIN job ON job.holder = worker.name WHERE document_id = $1", document
        )
        assert isinstance(pid, int)
        return pid

    async def running_worker(self) -> int:
        pid = await self.jobs.fetchval("SELECT pid FROM worker WHERE ended_at IS NULL AND state = 'running'")
        assert isinstance(pid, int)
        return pid

    async def worker_state(self, pid: int) -> str:
        state = await self.jobs.fetchval(
            "SELECT state FROM worker WHERE pid = $1 ORDER BY started_at DESC", pid
        )
        return str(state)

    def actor(self, name: str) -> psutil.Process:
        return self.platform.ray_process(f"ray::{name}")

    async def done_once(self, document: UUID) -> None:
        """I1, I2, I3: one result, one set of artefacts, one hit."""
        await self.indexed(document)

        async def told() -> list[str]:
            return await self.outcomes(document)

        assert await until(told, 60) == ["indexed"]
        job = await self.job(document)
        kept = {Path(key).name for key in job["artefacts"].values()}
        folder = self.platform.settings.blobs_path / "objects" / "artefacts" / str(document)
        assert {path.name for path in folder.rglob("*") if path.is_file()} == kept
        question = {"query": "salbutamol", "mode": "lexical", "limit": 100}
        found = await self.client.post("/api/v1/search", json=question)
        assert [hit["document_id"] for hit in found.json()["hits"]].count(str(document)) == 1


@pytest.fixture
async def hospital(spine: Platform) -> AsyncIterator[Hospital]:
    settings, secrets = spine.settings, spine.secrets
    name = f"doctor-{new_id().hex[-8:]}"
    provisioning = Provisioning.of(settings, secrets)
    await provisioning.create_account(
        email=f"{name}@example.org",
        username=name,
        password=PASSWORD,
        first_name="Test",
        last_name="Person",
        role="doctor",
    )
    await provisioning.close()
    jobs = await connect(database(settings, "processing", OWNER), secrets)
    events = await connect(database(settings, "event", OWNER), secrets)
    async with httpx.AsyncClient(base_url=spine.base_url, timeout=60, trust_env=False) as client:
        login = {"email": f"{name}@example.org", "password": PASSWORD}
        answer = await client.post("/api/v1/auth/login", json=login)
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield Hospital(spine, client, jobs, events)
    await jobs.close()
    await events.close()


@pytest.fixture
def stopped(spine: Platform) -> Callable[..., Any]:
    """A barrier in one of the platform's databases."""
    return lambda service, table, when: barrier(spine.settings, spine.secrets, service, table, when)


def end_of(stage: str) -> str:
    """The worker reports the stage's result."""
    return f"OLD.status = 'processing' AND OLD.stage = '{stage}' AND NEW.stage IS DISTINCT FROM OLD.stage"


async def test_a_document_goes_through_all_actors(hospital):
    document = await hospital.upload()
    await hospital.done_once(document)
    assert (await hospital.job(document))["fence"] == 2


@pytest.mark.parametrize("stage", STAGES)
async def test_f2_worker_killed_in_a_stage(hospital, stopped, stage):
    async with stopped("processing", "job", end_of(stage)) as gate:
        document = await hospital.upload()
        await gate.reached()
        pid = await hospital.holder(document)
        os.kill(pid, signal.SIGKILL)
    await hospital.done_once(document)
    job = await hospital.job(document)
    before = STAGES[: STAGES.index(stage)]
    assert all(job["artefacts"][earlier].endswith(".1") for earlier in before)
    assert job["artefacts"][stage].endswith(".2")
    assert await hospital.worker_state(pid) == "died"


async def test_f2_f3_index_writer_killed_between_index_and_acknowledgement(hospital, stopped):
    async with stopped("processing", "job", "NEW.status = 'indexed'") as gate:
        document = await hospital.upload()
        await gate.reached()
        old = hospital.actor("IndexWriterActor")
        old.kill()
    await hospital.done_once(document)
    assert (await hospital.job(document))["fence"] == 3
    assert hospital.actor("IndexWriterActor").pid != old.pid


async def test_f2_f3_event_pump_killed_inside_an_effect(hospital, stopped):
    when = "NEW.status = 'processing' AND NEW.stage = 'extract'"
    async with stopped("document", "document", when) as gate:
        document = await hospital.upload()
        await gate.reached()
        old = hospital.actor("EventPumpActor")
        old.kill()
    await hospital.done_once(document)
    assert hospital.actor("EventPumpActor").pid != old.pid


async def test_f2_supervisor_killed_mid_document_leaves_the_workers_working(hospital, stopped):
    async with stopped("processing", "job", end_of("annotate")) as gate:
        document = await hospital.upload()
        await gate.reached()
        pid = await hospital.holder(document)
        before = await hospital.jobs.fetchval("SELECT leader FROM supervision")
        hospital.actor("PoolSupervisorActor").kill()
    await hospital.done_once(document)
    assert (await hospital.job(document))["fence"] == 2
    assert await hospital.worker_state(pid) != "died"

    async def followed() -> bool:
        query = "SELECT leader FROM supervision WHERE seen_at > clock_timestamp() - interval '5 seconds'"
        return await hospital.jobs.fetchval(query) not in (None, before)

    await until(followed, 120)
    pid = await hospital.running_worker()
    os.kill(pid, signal.SIGKILL)

    async def replaced() -> bool:
        live = await hospital.jobs.fetch("SELECT pid, state FROM worker WHERE ended_at IS NULL")
        others = any(row["state"] == "running" and row["pid"] != pid for row in live)
        return others and await hospital.worker_state(pid) == "died"

    await until(replaced, 180)


async def test_f19_frozen_worker_is_replaced(hospital, stopped):
    """It is frozen with the job's row locked; the supervisor ends it when it was silent too long."""
    async with stopped("processing", "job", end_of("embed")) as gate:
        document = await hospital.upload()
        await gate.reached()
        pid = await hospital.holder(document)
        os.kill(pid, signal.SIGSTOP)
        try:
            await gate.open()
            await hospital.indexed(document)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    await hospital.done_once(document)
    assert await hospital.worker_state(pid) == "died"


async def test_f14_a_lost_index_is_said_and_rebuilt_by_one_command(hospital):
    document = await hospital.upload()
    await hospital.done_once(document)
    shutil.rmtree(hospital.platform.settings.index_path)

    async def search() -> httpx.Response:
        return await hospital.client.post("/api/v1/search", json={"query": "salbutamol", "mode": "lexical"})

    assert (await search()).status_code == 503
    done = await asyncio.to_thread(hospital.platform.medsearch, "index", "rebuild")
    assert done.returncode == 0, done.stderr

    async def found() -> bool:
        answer = await search()
        return answer.status_code == 200 and str(document) in [
            hit["document_id"] for hit in answer.json()["hits"]
        ]

    await until(found, 120)
    assert set(await hospital.outcomes(document)) == {"indexed"}

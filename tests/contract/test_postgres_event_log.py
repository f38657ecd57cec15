"""The event log in Postgres: the port's promises, a slow transaction, a lost LISTEN connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from cluster.servers import postgres
from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Unavailable
from domain.events import Topic
from stores.event_log import CHANNEL, LOCK, PostgresEventLog
from stores.listening import Listener
from stores.postgres import Database, Postgres, connect, database
from tests.contract.conformance.event_log import EventLogConformance, event, ids, read_all


@pytest.fixture
async def event_log(settings: Settings, secrets: SecretStore) -> AsyncIterator[PostgresEventLog]:
    log = PostgresEventLog.of(settings, secrets)
    yield log
    await log.close()


@pytest.fixture
async def another(settings: Settings, secrets: SecretStore) -> AsyncIterator[PostgresEventLog]:
    log = PostgresEventLog.of(settings, secrets)
    yield log
    await log.close()


class TestPostgresEventLog(EventLogConformance):
    pass


async def test_an_append_waits_for_a_slow_one_so_that_no_offset_appears_late(
    event_log: PostgresEventLog, settings: Settings, secrets: SecretStore
) -> None:
    start = await event_log.head()
    slow = await connect(database(settings, "event"), secrets)
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    early, late = event(), event()
    await slow.execute(
        """INSERT INTO event ("offset", topic, id, body) SELECT coalesce(max("offset"), 0) + 1, $1, $2, $3 FROM event""",
        early.topic.value,
        early.id,
        early.to_cloudevent(),
    )
    appending = asyncio.create_task(event_log.append([late]))
    await asyncio.sleep(0.3)
    assert not appending.done()
    assert await read_all(event_log, [Topic.DOCUMENT], start) == []
    await transaction.commit()
    await appending
    await slow.close()
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == [early.id, late.id]


async def test_a_lost_listen_connection_wakes_its_waiters_and_is_opened_again(
    event_log: PostgresEventLog, another: PostgresEventLog, settings: Settings, secrets: SecretStore
) -> None:
    await event_log.wait([Topic.DOCUMENT], 0.1)
    waiting = asyncio.create_task(event_log.wait([Topic.DOCUMENT], 20))
    admin = await postgres.connect(settings, secrets, "postgres")
    killed = await admin.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND datname = 'event_db'"
    )
    await admin.close()
    assert killed
    await asyncio.wait_for(waiting, 10)
    start = await event_log.head()
    again = asyncio.create_task(event_log.wait([Topic.DOCUMENT], 20, after=start))
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    await another.append([event()])
    await again
    assert time.monotonic() - begun < 10


async def test_without_a_server_the_log_is_unavailable_and_waiting_is_a_sleep(
    settings: Settings, secrets: SecretStore
) -> None:
    nowhere = Database("/nowhere", 5432, "event_db", "medsearch_event", "postgres-event")
    log = PostgresEventLog(Postgres(nowhere, secrets), Listener(nowhere, secrets, CHANNEL))
    with pytest.raises(Unavailable):
        await log.append([event()])
    with pytest.raises(Unavailable):
        await log.read([Topic.DOCUMENT], [], 1)
    begun = time.monotonic()
    await log.wait([Topic.DOCUMENT], 0.3)
    assert 0.2 <= time.monotonic() - begun < 5
    await log.close()

"""From an outbox to the log and the audit trail: nothing lost, nothing twice, trouble stays where it is."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.databases import OWNER
from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Unavailable
from domain.events import Event, EventType, Position, Topic
from domain.ids import new_id
from stores.event_log import PostgresEventLog
from stores.outbox import publish
from stores.postgres import Database, Postgres, connect, database
from stores.relay import Relay
from tests.contract.conformance.event_log import event, ids, read_all
from tests.contract.event_doubles import FailingLog, RememberingSink


@pytest.fixture
async def db(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    owner = await connect(database(settings, "document", OWNER), secrets)
    await owner.execute("TRUNCATE outbox")
    await owner.close()
    db = Postgres.of(settings, secrets, "document")
    yield db
    await db.close()


@pytest.fixture
async def event_log(settings: Settings, secrets: SecretStore) -> AsyncIterator[PostgresEventLog]:
    log = PostgresEventLog.of(settings, secrets)
    yield log
    await log.close()


@pytest.fixture
async def start(event_log: PostgresEventLog) -> list[Position]:
    return await event_log.head()


async def publish_now(db: Postgres, *events: Event) -> None:
    async with db.transaction() as connection:
        await publish(connection, *events)


async def waiting(db: Postgres) -> int:
    async with db.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM outbox WHERE delivered_at IS NULL"))


async def test_events_reach_the_log_once_and_audit_records_the_trail(
    db: Postgres, event_log: PostgresEventLog, start: list[Position], secrets: SecretStore
) -> None:
    sink = RememberingSink()
    relay = Relay({"document": db}, event_log, sink, secrets)
    first, second, record = event(), event(EventType.DOCUMENT_DELETED), new_id()
    async with db.transaction() as connection:
        await publish(connection, first, second)
        await connection.execute(
            "INSERT INTO outbox (id, kind, body) VALUES ($1, 'audit', $2)",
            record,
            {"event": "document.delete"},
        )
    assert await relay.run_once() == 3
    assert await relay.run_once() == 0
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == [first.id, second.id]
    assert sink.records == {record: {"event": "document.delete"}}


async def test_what_is_rolled_back_never_leaves(
    db: Postgres, event_log: PostgresEventLog, start: list[Position], secrets: SecretStore
) -> None:
    async with db.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await publish(connection, event())
        await transaction.rollback()
    assert await Relay({"document": db}, event_log, RememberingSink(), secrets).run_once() == 0
    assert await read_all(event_log, [Topic.DOCUMENT], start) == []


async def test_a_crash_between_delivery_and_its_mark_delivers_no_event_twice(
    db: Postgres, event_log: PostgresEventLog, start: list[Position], secrets: SecretStore
) -> None:
    def crash() -> None:
        raise KeyboardInterrupt

    sent = [event() for _ in range(5)]
    await publish_now(db, *sent)
    with pytest.raises(KeyboardInterrupt):
        await Relay({"document": db}, FailingLog(event_log, crash), RememberingSink(), secrets).run_once()
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == ids(sent)
    assert await waiting(db) == 5
    assert await Relay({"document": db}, event_log, RememberingSink(), secrets).run_once() == 5
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == ids(sent)
    assert await waiting(db) == 0


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from config.secrets import SecretStore
from config.settings import Settings
from stores.event_log import PostgresEventLog
from stores.postgres import Postgres
from stores.relay import Relay
from tests.contract.event_doubles import FailingLog, RememberingSink

settings = Settings(data_dir=Path(sys.argv[1]))
secrets = SecretStore(settings.secrets_path)
log = FailingLog(PostgresEventLog.of(settings, secrets), lambda: os.kill(os.getpid(), signal.SIGKILL))
databases = {"document": Postgres.of(settings, secrets, "document")}
asyncio.run(Relay(databases, log, RememberingSink(), secrets).run_once())
"""


async def test_a_relay_killed_between_delivery_and_its_mark_loses_and_repeats_nothing(
    db: Postgres, event_log: PostgresEventLog, start: list[Position], settings: Settings, secrets: SecretStore
) -> None:
    sent = [event() for _ in range(5)]
    await publish_now(db, *sent)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(settings.data_dir), cwd=Path(__file__).parents[2]
    )
    assert await process.wait() == -signal.SIGKILL
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == ids(sent)
    async with asyncio.timeout(20):
        while await waiting(db):
            await Relay({"document": db}, event_log, RememberingSink(), secrets).run_once()
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == ids(sent)


async def test_the_row_of_a_slow_transaction_is_not_missed(
    db: Postgres, event_log: PostgresEventLog, start: list[Position], secrets: SecretStore
) -> None:
    relay = Relay({"document": db}, event_log, RememberingSink(), secrets)
    early, late = event(), event()
    async with db.transaction() as slow:
        await publish(slow, early)
        await publish_now(db, late)
        assert await relay.run_once() == 1
    assert await relay.run_once() == 1
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == [late.id, early.id]


async def test_two_relays_at_a_time_do_not_wait_for_each_other_and_lose_nothing(
    db: Postgres, event_log: PostgresEventLog, start: list[Position], secrets: SecretStore
) -> None:
    sent = [event() for _ in range(60)]
    await publish_now(db, *sent)
    relays = [Relay({"document": db}, event_log, RememberingSink(), secrets, batch=7) for _ in range(2)]

    async def drain(relay: Relay) -> int:
        total = 0
        while await waiting(db):
            total += await relay.run_once()
        return total

    moved = await asyncio.gather(*map(drain, relays))
    assert sum(moved) == 60
    assert set(ids(await read_all(event_log, [Topic.DOCUMENT], start))) == set(ids(sent))


async def test_a_row_that_cannot_be_read_stays_and_holds_up_nothing(
    db: Postgres, event_log: PostgresEventLog, start: list[Position], secrets: SecretStore
) -> None:
    async with db.transaction() as connection:
        await connection.executemany(
            "INSERT INTO outbox (id, kind, body) VALUES ($1, 'event', $2)",
            [(new_id(), {"type": "document.of_the_future"}) for _ in range(10)],
        )
    sent = event()
    await publish_now(db, sent)
    relay = Relay({"document": db}, event_log, RememberingSink(), secrets, batch=10)
    assert [await relay.run_once() for _ in range(3)] == [0, 1, 0]
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == [sent.id]
    assert await waiting(db) == 10


async def test_trouble_stays_where_it_is(
    db: Postgres, event_log: PostgresEventLog, start: list[Position], secrets: SecretStore
) -> None:
    def away() -> None:
        raise Unavailable("The trail is away.")

    sent, record = event(), new_id()
    await publish_now(db, sent)
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO outbox (id, kind, body) VALUES ($1, 'audit', '{}')", record)
    nowhere = Postgres(Database("/nowhere", 5432, "auth_db", "medsearch_auth", "postgres-auth"), secrets)
    broken = Relay({"auth": nowhere, "document": db}, event_log, RememberingSink(away), secrets)
    assert await broken.run_once() == 1
    assert ids(await read_all(event_log, [Topic.DOCUMENT], start)) == [sent.id]
    sink = RememberingSink()
    assert await Relay({"document": db}, event_log, sink, secrets).run_once() == 1
    assert list(sink.records) == [record]


async def test_waiting_ends_when_something_is_published_and_not_before(
    db: Postgres, event_log: PostgresEventLog, secrets: SecretStore
) -> None:
    relay = Relay({"document": db}, event_log, RememberingSink(), secrets)
    await relay.wait(0.2)
    await relay.run_once()
    waits = asyncio.create_task(relay.wait(20))
    await asyncio.sleep(0.3)
    assert not waits.done()
    begun = time.monotonic()
    await publish_now(db, event())
    await waits
    assert time.monotonic() - begun < 10
    await relay.close()


async def test_what_is_published_while_the_relay_works_ends_the_next_wait(
    db: Postgres, event_log: PostgresEventLog, secrets: SecretStore
) -> None:
    relay = Relay({"document": db}, event_log, RememberingSink(), secrets)
    await relay.wait(0.2)
    await relay.run_once()
    await publish_now(db, event())
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    await relay.wait(20)
    assert time.monotonic() - begun < 10
    await relay.close()


async def test_delivered_rows_go_after_a_while_and_others_never(
    db: Postgres, event_log: PostgresEventLog, secrets: SecretStore
) -> None:
    now = 0.0
    relay = Relay({"document": db}, event_log, RememberingSink(), secrets, clock=lambda: now)
    await publish_now(db, event(), event())
    await relay.run_once()
    async with db.transaction() as connection:
        await connection.execute(
            "UPDATE outbox SET delivered_at = now() - interval '25 hours'"
            " WHERE id = (SELECT id FROM outbox ORDER BY id LIMIT 1)"
        )
        await publish(connection, event(EventType.DOCUMENT_DELETED))
    now = 3601.0
    assert await relay.run_once() == 1
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 2
    assert await relay.prune(timedelta(0)) == 2

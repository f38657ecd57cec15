"""A subscriber's effects: once each, together with its position; no event blocks the others for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import asyncpg
import pytest

from cluster.databases import OWNER
from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import NotFound, Unavailable
from domain.events import Event, EventType, LoggedEvent, Position, Topic
from stores.event_log import PostgresEventLog
from stores.postgres import Postgres, connect, database
from stores.subscriptions import EventFailed, Subscription
from tests.contract.conformance.event_log import event


@pytest.fixture
async def db(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    owner = await connect(database(settings, "document", OWNER), secrets)
    await owner.execute("TRUNCATE subscription_position, subscription_event, dead_letter, idempotency")
    await owner.close()
    db = Postgres.of(settings, secrets, "document")
    yield db
    await db.close()


def logged(*events: Event, first: int = 1, topic: Topic = Topic.DOCUMENT) -> list[LoggedEvent]:
    return [LoggedEvent(item, Position(topic, 0, first + index)) for index, item in enumerate(events)]


async def count_effect(connection: asyncpg.Connection, item: Event) -> None:
    """An effect that shows how often it happened: rows of a table that this test may write."""
    await connection.execute(
        """
        INSERT INTO idempotency (account, operation, key, fingerprint, status) VALUES ($1, 'test', '', '', 1)
        ON CONFLICT (account, operation, key) DO UPDATE SET status = idempotency.status + 1
        """,
        item.id,
    )


async def effects(db: Postgres) -> dict[object, int]:
    async with db.connection() as connection:
        return {row["account"]: row["status"] for row in await connection.fetch("SELECT * FROM idempotency")}


async def offset(subscription: Subscription) -> int | None:
    return next((position.offset for position in await subscription.positions()), None)


def failing(bad: Event, error: Callable[[], Exception]) -> Callable[[asyncpg.Connection, Event], object]:
    async def apply(connection: asyncpg.Connection, item: Event) -> None:
        await count_effect(connection, item)
        if item.id == bad.id:
            raise error()

    return apply


async def test_effects_and_position_move_together(db: Postgres) -> None:
    subscription = Subscription(db, "s", [Topic.DOCUMENT], count_effect)
    assert await subscription.positions() == []
    one, two = event(), event()
    await subscription.handle(logged(one, two))
    assert await effects(db) == {one.id: 1, two.id: 1}
    assert await subscription.positions() == [Position(Topic.DOCUMENT, 0, 2)]


async def test_a_repeated_batch_and_a_repeated_event_at_another_offset_have_no_second_effect(
    db: Postgres,
) -> None:
    subscription = Subscription(db, "s", [Topic.DOCUMENT], count_effect)
    one, two = event(), event()
    await subscription.handle(logged(one, two))
    await subscription.handle(logged(one, two))
    await subscription.handle(logged(two, first=3))
    assert await effects(db) == {one.id: 1, two.id: 1}
    assert await offset(subscription) == 3


async def test_subscribers_do_not_see_each_other(db: Postgres) -> None:
    one = event()
    for name in ("a", "b"):
        await Subscription(db, name, [Topic.DOCUMENT], count_effect).handle(logged(one))
    assert await effects(db) == {one.id: 2}


async def test_two_leaders_at_once_still_have_one_effect(db: Postgres) -> None:
    events = [event() for _ in range(20)]
    twins = [Subscription(db, "s", [Topic.DOCUMENT], count_effect) for _ in range(3)]
    await asyncio.gather(*(twin.handle(logged(*events)) for twin in twins))
    assert set((await effects(db)).values()) == {1}


async def test_a_crash_in_the_middle_of_a_batch_leaves_nothing_of_it(db: Postgres) -> None:
    one, two = event(), event()
    crashing = Subscription(db, "s", [Topic.DOCUMENT], failing(two, lambda: Unavailable("away")))
    with pytest.raises(Unavailable):
        await crashing.handle(logged(one, two))
    assert await effects(db) == {}
    assert await offset(crashing) is None


async def test_a_poisonous_event_is_tried_then_put_aside_with_its_reason(db: Postgres) -> None:
    one, bad, three = event(), event(), event()
    subscription = Subscription(
        db, "s", [Topic.DOCUMENT], failing(bad, lambda: NotFound("secret words")), attempts=3
    )
    batch = logged(one, bad, three)
    for _ in range(2):
        with pytest.raises(EventFailed):
            await subscription.handle(batch)
        assert await effects(db) == {one.id: 1}
        assert await offset(subscription) == 1
    await subscription.handle(batch)
    assert await effects(db) == {one.id: 1, three.id: 1}
    assert await offset(subscription) == 3
    assert subscription.dead == 1
    async with db.connection() as connection:
        (letter,) = await connection.fetch("SELECT * FROM dead_letter")
    assert (letter["event_id"], letter["attempts"], letter["reason"]) == (bad.id, 3, "NotFound: not_found")
    assert Event.from_cloudevent(letter["body"]) == bad


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT $1::int", "no sql"])
async def test_a_statement_that_fails_counts_as_the_events_fault(db: Postgres, statement: str) -> None:
    async def apply(connection: asyncpg.Connection, item: Event) -> None:
        await connection.execute(statement, *(["text"] if "$1" in statement else []))

    subscription = Subscription(db, "s", [Topic.DOCUMENT], apply, attempts=1)
    await subscription.handle(logged(event()))
    assert subscription.dead == 1


async def test_an_event_that_recovers_is_not_counted_again(db: Postgres) -> None:
    bad = event()
    failures = iter([True, False])

    async def apply(connection: asyncpg.Connection, item: Event) -> None:
        await count_effect(connection, item)
        if next(failures):
            raise ValueError

    subscription = Subscription(db, "s", [Topic.DOCUMENT], apply, attempts=2)
    with pytest.raises(EventFailed):
        await subscription.handle(logged(bad))
    await subscription.handle(logged(bad))
    assert await effects(db) == {bad.id: 1}
    assert subscription.dead == 0


async def test_old_event_ids_are_forgotten(db: Postgres) -> None:
    subscription = Subscription(db, "s", [Topic.DOCUMENT], count_effect)
    await subscription.handle(logged(event(), event()))
    assert await subscription.forget() == 0
    assert await subscription.forget(timedelta(0)) == 2


async def test_advancing_reads_from_the_log_until_nothing_is_left(
    db: Postgres, settings: Settings, secrets: SecretStore
) -> None:
    event_log = PostgresEventLog.of(settings, secrets)
    subscription = Subscription(db, "s", [Topic.DOCUMENT], count_effect)
    while await subscription.advance(event_log, limit=500):
        pass
    before = await effects(db)
    sent = [event(), event(EventType.USER_LOGIN), event()]
    await event_log.append(sent)
    async with asyncio.timeout(30):
        await subscription.wait(event_log, 20)
    assert [await subscription.advance(event_log, limit=1) for _ in range(3)] == [1, 1, 0]
    assert {key: value for key, value in (await effects(db)).items() if key not in before} == {
        sent[0].id: 1,
        sent[2].id: 1,
    }
    await event_log.close()

"""What every event log does: subclass, give fixtures `event_log` and `another` (a second client of it).

No test needs an empty log: each reads from where the log stood when it began.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from domain.events import Event, EventType, LoggedEvent, Position, Topic
from domain.ids import new_id
from stores.ports import EventLog

DOCUMENT, USER = Topic.DOCUMENT, Topic.USER


def event(type_: EventType = EventType.DOCUMENT_UPLOADED, **data: object) -> Event:
    return Event(type_, str(new_id()), dict(data), "/medsearch/test", request_id="r-1")


def ids(events: Sequence[Event | LoggedEvent]) -> list[object]:
    return [item.event.id if isinstance(item, LoggedEvent) else item.id for item in events]


def behind(position: Sequence[Position], taken: Sequence[LoggedEvent]) -> list[Position]:
    """The position of a reader that has taken these events."""
    places = {(p.topic, p.partition): p for p in (*position, *(logged.position for logged in taken))}
    return list(places.values())


async def read_all(
    log: EventLog, topics: Sequence[Topic], start: Sequence[Position], limit: int = 7
) -> list[LoggedEvent]:
    taken: list[LoggedEvent] = []
    while batch := await log.read(topics, behind(start, taken), limit):
        assert len(batch) <= limit
        taken.extend(batch)
    return taken


class EventLogConformance:
    async def test_an_event_comes_back_as_it_was(self, event_log: EventLog) -> None:
        start = await event_log.head()
        sent = event(document_id="d", version=1, sha256="ä\"'", nested={"list": [1, 2.5, None, True]})
        await event_log.append([sent])
        (logged,) = await read_all(event_log, [DOCUMENT], start)
        assert logged.event == sent
        assert logged.position.topic is DOCUMENT

    async def test_all_are_read_in_the_order_they_were_appended(self, event_log: EventLog) -> None:
        start = await event_log.head()
        sent = [event(number=number) for number in range(50)]
        for at in range(0, 50, 10):
            await event_log.append(sent[at : at + 10])
        taken = await read_all(event_log, [DOCUMENT], start)
        assert ids(taken) == ids(sent)
        offsets = [logged.position.offset for logged in taken]
        assert offsets == sorted(set(offsets))

    async def test_the_same_id_is_added_once(self, event_log: EventLog) -> None:
        start = await event_log.head()
        one, two, three = event(), event(), event()
        await event_log.append([one, two])
        await event_log.append([two, one, three, three])
        assert ids(await read_all(event_log, [DOCUMENT], start)) == ids([one, two, three])

    async def test_nothing_to_append_is_nothing(self, event_log: EventLog) -> None:
        start = await event_log.head()
        await event_log.append([])
        assert await event_log.head() == start

    async def test_topics_are_apart_and_can_be_read_together(self, event_log: EventLog) -> None:
        start = await event_log.head()
        document, user = event(), event(EventType.USER_LOGIN, outcome="success")
        await event_log.append([document, user])
        assert ids(await read_all(event_log, [USER], start)) == [user.id]
        assert ids(await read_all(event_log, [DOCUMENT], start)) == [document.id]
        assert set(ids(await read_all(event_log, [USER, DOCUMENT], start, limit=1))) == {document.id, user.id}

    async def test_a_topic_without_a_position_is_read_from_its_start(self, event_log: EventLog) -> None:
        first = event()
        await event_log.append([first])
        (beginning,) = await event_log.read([DOCUMENT], [], 1)
        assert ids(await read_all(event_log, [DOCUMENT], [beginning.position], limit=500))[-1] == first.id

    async def test_head_is_the_position_of_the_last_event(self, event_log: EventLog) -> None:
        await event_log.append([event(), event()])
        start = await event_log.head()
        assert await read_all(event_log, [DOCUMENT], start) == []
        await event_log.append([event()])
        (logged,) = await read_all(event_log, [DOCUMENT], start)
        assert logged.position in await event_log.head()

    async def test_what_was_taken_is_forgotten_after_a_while(self, event_log: EventLog) -> None:
        start = await event_log.head()
        sent = [event() for _ in range(5)]
        await event_log.append(sent)
        logged = await read_all(event_log, [DOCUMENT], start)
        taken = [logged[2].position]
        await event_log.forget(taken, timedelta(days=1))
        assert ids(await read_all(event_log, [DOCUMENT], start)) == ids(sent)
        assert await event_log.forget(taken, timedelta(0)) >= 3
        assert ids(await read_all(event_log, [DOCUMENT], [])) == ids(sent[3:])

    async def test_a_log_in_which_all_was_forgotten_goes_on(self, event_log: EventLog) -> None:
        start = await event_log.head()
        await event_log.append([event(), event()])
        taken = [(await read_all(event_log, [DOCUMENT], start))[-1].position]
        await event_log.forget(taken, timedelta(0))
        assert await read_all(event_log, [DOCUMENT], taken) == []
        following = event()
        await event_log.append([following])
        assert ids(await read_all(event_log, [DOCUMENT], taken)) == [following.id]

    async def test_no_reader_misses_what_many_writers_append(
        self, event_log: EventLog, another: EventLog
    ) -> None:
        """Positions must become visible in order: a reader that polls all the time sees every event."""
        start = await event_log.head()
        sent = [[event(writer=writer, number=number) for number in range(25)] for writer in range(4)]
        taken: list[LoggedEvent] = []

        async def write(events: list[Event]) -> None:
            for item in events:
                await event_log.append([item])

        async def follow() -> None:
            while len(taken) < 100:
                taken.extend(await another.read([DOCUMENT], behind(start, taken), 10))

        async with asyncio.timeout(60):
            await asyncio.gather(follow(), *(write(events) for events in sent))
        assert sorted(map(str, ids(taken))) == sorted(str(item.id) for events in sent for item in events)

    async def test_wait_ends_at_once_when_something_is_behind(self, event_log: EventLog) -> None:
        start = await event_log.head()
        await event_log.append([event()])
        begun = time.monotonic()
        await event_log.wait([DOCUMENT], 20, after=start)
        assert time.monotonic() - begun < 10

    async def test_wait_is_woken_by_an_append_elsewhere(self, event_log: EventLog, another: EventLog) -> None:
        start = await event_log.head()
        waiting = asyncio.create_task(event_log.wait([DOCUMENT], 20, after=start))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        begun = time.monotonic()
        await another.append([event()])
        await waiting
        assert time.monotonic() - begun < 10

    async def test_wait_is_not_ended_by_another_topic(self, event_log: EventLog, another: EventLog) -> None:
        start = await event_log.head()
        waiting = asyncio.create_task(event_log.wait([DOCUMENT], 1.5, after=start))
        await asyncio.sleep(0.2)
        await another.append([event(EventType.USER_LOGIN)])
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await waiting

    @pytest.mark.parametrize("known", [True, False])
    async def test_wait_ends_in_time_without_news(self, event_log: EventLog, known: bool) -> None:
        start = await event_log.head() if known else None
        await event_log.wait(
            [DOCUMENT], 0.2, after=start
        )  # the first may end early: it had not listened before
        begun = time.monotonic()
        await event_log.wait([DOCUMENT], 0.3, after=start)
        assert 0.2 <= time.monotonic() - begun < 5

"""The pump: each reader at its own pace, troubles are pauses, and cancelling ends all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from actors import event_pump
from actors.event_pump import EventPump
from domain.errors import Unavailable
from domain.events import Position, Topic
from tests.waiting import eventually

KEPT = timedelta(days=30)


class Log:
    """Remembers what it was told to forget."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[dict[Topic, int], timedelta]] = []

    async def forget(self, taken: Sequence[Position], older_than: timedelta) -> int:
        self.forgotten.append(({position.topic: position.offset for position in taken}, older_than))
        return 0


class Source:
    """Relay and reader in one: has so much to move, and says when it was asked."""

    def __init__(
        self,
        name: str,
        waiting: int = 0,
        troubles: int = 0,
        topics: tuple[Topic, ...] = (Topic.DOCUMENT,),
        taken: Sequence[Position] = (),
    ) -> None:
        self.name = name
        self.topics = topics
        self.taken = list(taken)
        self.waiting = waiting
        self.troubles = troubles
        self.moved = 0
        self.forgot = 0
        self.woken = asyncio.Event()

    async def run_once(self) -> int:
        if self.troubles:
            self.troubles -= 1
            raise Unavailable("away")
        now, self.waiting = min(self.waiting, 10), max(self.waiting - 10, 0)
        self.moved += now
        return now

    async def positions(self) -> list[Position]:
        return self.taken

    async def advance(self, event_log: Any, *, limit: int = 100) -> int:
        return await self.run_once()

    async def wait(self, *_: Any) -> None:
        await self.woken.wait()
        self.woken.clear()

    async def forget(self) -> int:
        self.forgot += 1
        return 0


def pump_of(relay: Source, readers: Sequence[Source], log: Log | None = None) -> asyncio.Task[None]:
    pump: Any = EventPump(relay, readers, log or Log(), kept=KEPT)
    return asyncio.create_task(pump.run())


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(event_pump, "WAIT_SECONDS", 0.01)


async def test_everything_is_moved_and_then_waited_for(quick):
    relay, reader = Source("relay", 35), Source("reader", 25)
    pump = pump_of(relay, [reader])
    await eventually(lambda: (relay.moved, reader.moved) == (35, 25))
    reader.waiting = 5
    reader.woken.set()
    await eventually(lambda: reader.moved == 30)
    assert reader.forgot == 1
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    assert pump.cancelled()


async def test_a_reader_in_trouble_holds_up_nobody(quick):
    relay, ill, well = Source("relay", 5), Source("ill", 5, troubles=10**9), Source("well", 50)
    pump = pump_of(relay, [ill, well])
    await eventually(lambda: (relay.moved, well.moved) == (5, 50))
    assert ill.moved == 0
    ill.troubles = 2
    await eventually(lambda: ill.moved == 5)
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)


async def test_events_are_forgotten_as_far_as_the_slowest_reader_of_their_topic(quick):
    log = Log()
    readers = [
        Source("quick", taken=[Position(Topic.DOCUMENT, 0, 9)]),
        Source("slow", taken=[Position(Topic.DOCUMENT, 0, 4), Position(Topic.USER, 0, 7)]),
        Source("new", topics=(Topic.SYSTEM,)),
    ]
    pump = pump_of(Source("relay"), readers, log)
    await eventually(lambda: bool(log.forgotten))
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    assert log.forgotten == [({Topic.DOCUMENT: 4, Topic.SYSTEM: 0}, KEPT)]


async def test_other_duties_run_beside_the_events_and_keepers_forget(quick):
    relay, duty, other = Source("relay"), Source("mailer", 25, troubles=1), Source("sealer", 5)
    pump: Any = EventPump(relay, [], Log(), kept=KEPT, duties=[duty, other], keepers=[duty])
    task = asyncio.create_task(pump.run())
    await eventually(lambda: (duty.moved, duty.forgot) == (25, 1))
    await eventually(lambda: (other.moved, other.forgot) == (5, 0))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

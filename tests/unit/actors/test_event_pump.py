"""The pump: each reader at its own pace, troubles are pauses, and cancelling ends all of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import event_pump
from actors.event_pump import EventPump
from domain.errors import Unavailable
from tests.unit.actors.doubles import eventually


class Source:
    """Relay and reader in one: has so much to move, and says when it was asked."""

    def __init__(self, name: str, waiting: int = 0, troubles: int = 0) -> None:
        self.name = name
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

    async def advance(self, event_log: Any, *, limit: int = 100) -> int:
        return await self.run_once()

    async def wait(self, *_: Any) -> None:
        await self.woken.wait()
        self.woken.clear()

    async def forget(self) -> int:
        self.forgot += 1
        return 0


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(event_pump, "WAIT_SECONDS", 0.01)


async def test_everything_is_moved_and_then_waited_for(quick):
    relay, reader = Source("relay", 35), Source("reader", 25)
    pump = asyncio.create_task(EventPump(relay, [reader], None).run())
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
    pump = asyncio.create_task(EventPump(relay, [ill, well], None).run())
    await eventually(lambda: (relay.moved, well.moved) == (5, 50))
    assert ill.moved == 0
    ill.troubles = 2
    await eventually(lambda: ill.moved == 5)
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)

"""Moves events: from outboxes to the log, from the log to subscribers. None holds up another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

import structlog

from domain.errors import MedsearchError
from domain.events import Position, Topic
from stores.ports import EventLog

WAIT_SECONDS = 1.0
"""Longest sleep without having been woken."""

SETTLE_SECONDS = 0.05
"""Rest after moving less than a batch: what comes meanwhile moves together, at the price of one transaction."""

FORGET_EVERY_SECONDS = 3600.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Mover(Protocol):
    """Takes outboxes to the log (`stores.relay.Relay`)."""

    async def run_once(self) -> int: ...
    async def wait(self, seconds: float) -> None: ...


class Reader(Protocol):
    """A subscriber that advances by itself (`stores.subscriptions.Subscription`)."""

    name: str
    topics: tuple[Topic, ...]

    async def positions(self) -> list[Position]: ...
    async def advance(self, event_log: EventLog, *, limit: int = 100) -> int: ...
    async def wait(self, event_log: EventLog, seconds: float) -> None: ...
    async def forget(self) -> int: ...


class Duty(Protocol):
    """Other work of the leader, such as the mailer."""

    name: str

    async def run_once(self) -> int: ...
    async def wait(self, seconds: float) -> None: ...


class Keeper(Protocol):
    """Keeps what is done for a while, and forgets it hourly."""

    name: str

    async def forget(self) -> int: ...


class EventPump:
    """`run` is the duty of the leader: it works until it is cancelled."""

    def __init__(
        self,
        relay: Mover,
        readers: Sequence[Reader],
        event_log: EventLog,
        *,
        kept: timedelta,
        duties: Sequence[Duty] = (),
        keepers: Sequence[Keeper] = (),
        batch: int = 100,
    ) -> None:
        self._relay = relay
        self._readers = tuple(readers)
        self._log = event_log
        self._kept = kept
        self._duties = tuple(duties)
        self._keepers = (*readers, *keepers)
        self._batch = batch

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_forever("relay", self._relay.run_once, self._relay.wait, self._batch))
            tasks.create_task(_hourly("event-log", self._forget_events))
            for reader in self._readers:
                tasks.create_task(self._read(reader))
            for duty in self._duties:
                tasks.create_task(_forever(duty.name, duty.run_once, duty.wait, self._batch))
            for keeper in self._keepers:
                tasks.create_task(_hourly(keeper.name, keeper.forget))

    async def _read(self, reader: Reader) -> None:
        await _forever(
            reader.name,
            lambda: reader.advance(self._log, limit=self._batch),
            lambda seconds: reader.wait(self._log, seconds),
            self._batch,
        )

    async def _forget_events(self) -> int:
        """Drop from the log what is old, as far as every reader of its topic has taken it."""
        taken: dict[Topic, int] = {}
        for reader in self._readers:
            own = {position.topic: position.offset for position in await reader.positions()}
            for topic in reader.topics:
                offset = own.get(topic, 0)
                taken[topic] = min(offset, taken.get(topic, offset))
        positions = [Position(topic, 0, offset) for topic, offset in taken.items()]
        return await self._log.forget(positions, self._kept)


async def _hourly(name: str, work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await _attempt(name, work)
        await asyncio.sleep(FORGET_EVERY_SECONDS)


async def _forever(
    name: str, work: Callable[[], Awaitable[int]], wait: Callable[[float], Awaitable[None]], batch: int
) -> None:
    """Work while there is something to do, else wait; an expected error is a pause."""
    while True:
        moved = await _attempt(name, work)
        if moved == 0:
            await _attempt(name, lambda: wait(WAIT_SECONDS))
        elif moved is None:
            await asyncio.sleep(WAIT_SECONDS)
        elif moved < batch:
            await asyncio.sleep(SETTLE_SECONDS)


async def _attempt(name: str, work: Callable[[], Awaitable[T]]) -> T | None:
    try:
        return await work()
    except MedsearchError as error:
        log.warning("pump_paused", reader=name, reason=error.code)
        return None

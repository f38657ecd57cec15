"""Doubles of the event ports: a log that can be made to fail, an audit trail that remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from domain.events import Event, LoggedEvent, Position, Topic
from stores.ports import EventLog


class RememberingSink:
    """An audit trail in memory; `fail` is called first and may raise."""

    def __init__(self, fail: Callable[[], None] = lambda: None) -> None:
        self.records: dict[UUID, dict[str, Any]] = {}
        self._fail = fail

    async def insert_sealed(self, record_id: UUID, body: dict[str, Any]) -> None:
        self._fail()
        self.records.setdefault(record_id, body)


class FailingLog:
    """Another log whose appends are followed by `after`, which may raise: a crash behind the side effect."""

    def __init__(self, inner: EventLog, after: Callable[[], None]) -> None:
        self._inner = inner
        self._after = after

    async def append(self, events: Sequence[Event]) -> None:
        await self._inner.append(events)
        self._after()

    async def read(self, topics: Sequence[Topic], after: Sequence[Position], limit: int) -> list[LoggedEvent]:
        return await self._inner.read(topics, after, limit)

    async def wait(
        self, topics: Sequence[Topic], seconds: float, *, after: Sequence[Position] | None = None
    ) -> None:
        await self._inner.wait(topics, seconds, after=after)

    async def head(self) -> list[Position]:
        return await self._inner.head()

    async def forget(self, taken: Sequence[Position], older_than: timedelta) -> int:
        return await self._inner.forget(taken, older_than)

"""The event log and its readers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from domain.events import Event, LoggedEvent, Position, Topic


class EventLog(Protocol):
    """The ordered, durable log that subscribers read from their position."""

    async def append(self, events: Sequence[Event]) -> None:
        """Add events; one that is already there (same id) is not added again."""
        ...

    async def read(self, topics: Sequence[Topic], after: Sequence[Position], limit: int) -> list[LoggedEvent]:
        """Events behind the given positions (a partition without one: from its start), in log order."""
        ...

    async def wait(
        self, topics: Sequence[Topic], seconds: float, *, after: Sequence[Position] | None = None
    ) -> None:
        """Return when there is something behind `after`, or after `seconds`.

        Without `after`: when something may have been appended from now on.
        """
        ...

    async def head(self) -> list[Position]:
        """The last position of each partition, for measuring lag."""
        ...

    async def forget(self, taken: Sequence[Position], older_than: timedelta) -> int:
        """Drop events older than that; how many. Of the topics in `taken` only those up to the position there.

        Whoever subscribes later begins with what is left.
        """
        ...

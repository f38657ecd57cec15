"""The published view of sessions: what every application asks before it answers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from stores.ports import SessionState
from stores.postgres import Postgres

CAPACITY = 10_000
"""Most sessions remembered in one process."""


@dataclass(slots=True)
class PostgresSessionDirectory:
    """Reads `auth_db.api.session_state`; believes an answer for `cache_seconds` (at most half a second).

    `db` connects as `session-reader`. A session that is unknown is not remembered. Raises `Unavailable` when
    the answer is not known freshly enough: nobody is let in on an old one.
    """

    db: Postgres
    cache_seconds: float
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[UUID, tuple[float, SessionState]] = field(default_factory=OrderedDict)

    async def lookup(self, session_id: UUID) -> SessionState | None:
        asked = self.clock()
        known = self._known.get(session_id)
        if known is not None and asked - known[0] < self.cache_seconds:
            return known[1]
        state = await self._read(session_id)
        self._remember(session_id, asked, state)
        return state

    async def close(self) -> None:
        await self.db.close()

    async def _read(self, session_id: UUID) -> SessionState | None:
        async with self.db.connection() as connection:
            row = await connection.fetchrow(
                "SELECT active, token_version, principals, restriction FROM api.session_state WHERE sid = $1",
                session_id,
            )
        return (
            None
            if row is None
            else SessionState(
                row["active"], row["token_version"], frozenset(row["principals"]), row["restriction"]
            )
        )

    def _remember(self, session_id: UUID, asked: float, state: SessionState | None) -> None:
        self._known.pop(session_id, None)
        if state is None:
            return
        self._known[session_id] = (asked, state)
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)

"""Closes emergency accesses whose time, session or role has ended: what they opened is shut already."""

from __future__ import annotations

import asyncio

from stores.break_glass_ends import BreakGlassEnds
from stores.postgres import Postgres

EVERY_SECONDS = 15.0
BATCH = 100


class GlassCloser:
    """A duty of the event pump's leader. `db` is `auth_db`."""

    name = "glass-closer"

    def __init__(self, db: Postgres, ends: BreakGlassEnds, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._db = db
        self._ends = ends
        self._every = every_seconds

    async def run_once(self) -> int:
        """How many were closed and recorded."""
        async with self._db.transaction() as connection:
            return await self._ends.close(connection, limit=BATCH)

    async def wait(self, seconds: float) -> None:
        """Nothing wakes it: what has ended is shut without it."""
        await asyncio.sleep(max(seconds, self._every))

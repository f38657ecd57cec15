"""Closes emergency accesses whose time, session or role has ended: what they opened is shut already."""

from __future__ import annotations

import asyncio

import structlog

from domain.errors import MedsearchError
from stores.break_glass_ends import BreakGlassEnds
from stores.postgres import Postgres

EVERY_SECONDS = 15.0
BATCH = 100

log = structlog.get_logger(__name__)


class GlassCloser:
    """`db` is `auth_db`. `run` works until it is cancelled."""

    def __init__(self, db: Postgres, ends: BreakGlassEnds, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._db = db
        self._ends = ends
        self._every = every_seconds

    async def run(self) -> None:
        while True:
            try:
                while await self.run_once() == BATCH:
                    pass
            except MedsearchError as error:
                log.warning("glass_closer_paused", reason=error.code)
            await asyncio.sleep(self._every)

    async def run_once(self) -> int:
        """How many were closed and recorded."""
        async with self._db.transaction() as connection:
            return await self._ends.close(connection, limit=BATCH)

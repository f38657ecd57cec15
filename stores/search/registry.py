"""Which generations the embedded index has, and which one is live: a table in `search_db`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import astuple

import asyncpg

from domain.errors import Conflict
from domain.search import Generation, GenerationState
from stores.postgres import Postgres
from stores.search.errors import missing, not_ready

BELIEVED_SECONDS = 0.5
"""How long a process may take a generation for the live one after another was promoted."""

MODELS = "name, encoder, dimension, analysis"
COLUMNS = f"{MODELS}, state, source, created_at"


class Registry:
    """Generations by name."""

    def __init__(self, database: Postgres, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._live: tuple[float, Generation] | None = None
        self._known: dict[str, tuple[float, Generation]] = {}

    async def all(self) -> list[Generation]:
        """Oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(f"SELECT {COLUMNS} FROM index_generation ORDER BY created_at, name")  # noqa: S608 - constants
        return [_generation(row) for row in rows]

    async def named(self, name: str) -> Generation:
        """At most half a second old; raises `NotFound` (`search.generation_missing`)."""
        known = self._known.get(name)
        if known is None or self._clock() - known[0] >= BELIEVED_SECONDS:
            known = self._known[name] = self._clock(), await self._read(name)
        return known[1]

    async def _read(self, name: str) -> Generation:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(f"SELECT {COLUMNS} FROM index_generation WHERE name = $1", name)  # noqa: S608 - constants
        if row is None:
            raise missing(name)
        return _generation(row)

    async def live(self) -> Generation:
        """The live generation, at most half a second old; raises `Unavailable` when there is none."""
        if self._live is None or self._clock() - self._live[0] >= BELIEVED_SECONDS:
            return await self.live_now()
        return self._live[1]

    async def live_now(self) -> Generation:
        """The live generation; raises `Unavailable` when there is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(f"SELECT {COLUMNS} FROM index_generation WHERE state = 'live'")  # noqa: S608 - constants
        if row is None:
            raise not_ready()
        live = _generation(row)
        self._live = self._known[live.name] = self._clock(), live
        return live

    def forget(self) -> None:
        """Ask again next time."""
        self._live = None
        self._known.clear()

    async def add(self, generation: Generation) -> None:
        """Register; raises `Conflict` when the name stands for other models."""
        async with self._database.transaction() as connection:
            await connection.execute(
                f"INSERT INTO index_generation ({MODELS}, source, state) VALUES ($1, $2, $3, $4, $5, 'building')"  # noqa: S608 - constants
                " ON CONFLICT (name) DO UPDATE SET source = excluded.source"
                " WHERE index_generation.encoder = excluded.encoder",
                *(*astuple(generation)[:4], generation.source),
            )
        if astuple(await self.named(generation.name))[:4] != astuple(generation)[:4]:
            raise Conflict(
                f"The generation '{generation.name}' exists with other models.",
                code="search.generation_exists",
            )

    async def promote(self, name: str) -> None:
        """Make it the live one in one transaction."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "UPDATE index_generation SET state = 'retired' WHERE state = 'live' AND name <> $1", name
            )
            done = await connection.execute(
                "UPDATE index_generation SET state = 'live' WHERE name = $1", name
            )
            if done == "UPDATE 0":
                raise missing(name)
        self.forget()

    async def remove(self, name: str) -> Generation | None:
        """Strike it out; None when there is none. Raises `Conflict` for the live one."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                f"DELETE FROM index_generation WHERE name = $1 RETURNING {COLUMNS}",  # noqa: S608 - constants
                name,
            )
            if row is not None and row["state"] == GenerationState.LIVE:
                raise Conflict("The live generation cannot be dropped.", code="search.generation_live")
        return _generation(row) if row else None


def _generation(row: asyncpg.Record) -> Generation:
    name, encoder, dimension, analysis, state, source, created_at = row
    return Generation(name, encoder, int(dimension), analysis, GenerationState(state), source, created_at)

"""Stops the platform's processes inside a named step, from outside: a trigger waits for a lock that the test holds.

The step's transaction is open while it waits, so whoever is killed there has had its effects elsewhere (blob,
index) but no acknowledgement.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from cluster.databases import OWNER
from config.secrets import SecretStore
from config.settings import Service, Settings
from stores.postgres import connect, database
from tests.waiting import until

T = TypeVar("T")

LOCK = 4_711
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE pg_blocking_pids(pid) @> ARRAY[pg_backend_pid()]"


@dataclass(frozen=True)
class Barrier:
    """Closed until `open` is called; `reached` returns when somebody waits at it."""

    connection: asyncpg.Connection

    async def reached(self, seconds: float = 60) -> None:
        async def waiting() -> bool:
            return bool(await self.connection.fetchval(BLOCKED))

        await until(waiting, seconds)

    async def open(self) -> None:
        await self.connection.execute("SELECT pg_advisory_unlock_all()")


@asynccontextmanager
async def barrier(
    settings: Settings, secrets: SecretStore, service: Service, table: str, when: str
) -> AsyncIterator[Barrier]:
    """Whoever updates a row of `table` for which `when` holds waits until the barrier is opened."""
    owner = await connect(database(settings, service, OWNER), secrets)
    await owner.execute(
        f"""
        CREATE OR REPLACE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW; END $$
        """
    )
    await owner.execute("SELECT pg_advisory_lock($1)", LOCK)
    await owner.execute(
        f"CREATE TRIGGER stop_here BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION stop_here()"
    )
    try:
        yield Barrier(owner)
    finally:
        await owner.execute("SELECT pg_advisory_unlock_all()")
        await owner.execute(f"DROP TRIGGER stop_here ON {table}")
        await owner.close()

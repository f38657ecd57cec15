"""Who leads: the one process that holds a Postgres advisory lock, on a connection of its own.

A leader that dies loses the lock with its connection. One that is frozen loses it too: the server ends the
connection when it was silent for `silence_seconds`, and the thawed process sees that `held` is false.
"""

from __future__ import annotations

import asyncio

import asyncpg

from config.secrets import SecretStore
from domain.errors import Unavailable
from stores.postgres import Database, connect, unreachable


class Leadership:
    """One office, named `office`, in one database; try to take it, keep it alive, give it back."""

    def __init__(
        self, target: Database, secrets: SecretStore, office: str, *, silence_seconds: float = 15
    ) -> None:
        self.office = office
        self._target = target
        self._secrets = secrets
        self._silence = silence_seconds
        self._connection: asyncpg.Connection | None = None
        self._alive: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def take(self) -> bool:
        """Whether we lead now; never waits for another leader. Raises `Unavailable`."""
        if self.held:
            return True
        await self.give_back()
        connection = await connect(self._target, self._secrets)
        try:
            taken = await connection.fetchval(
                "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", self.office
            )
            if taken:
                await connection.execute(f"SET idle_session_timeout = {round(self._silence * 1000)}")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            connection.terminate()
            raise Unavailable("The database ended the connection.", retry_after=1) from error
        if not taken:
            await connection.close()
            return False
        self._connection = connection
        self._alive = asyncio.create_task(self._keep_alive(connection))
        return True

    async def give_back(self) -> None:
        """Let another lead; does nothing when we do not."""
        connection, self._connection = self._connection, None
        alive, self._alive = self._alive, None
        if alive is not None:
            alive.cancel()
            await asyncio.gather(alive, return_exceptions=True)
        if connection is not None:
            connection.terminate()

    async def _keep_alive(self, connection: asyncpg.Connection) -> None:
        while not connection.is_closed():
            await asyncio.sleep(self._silence / 4)
            try:
                await connection.fetchval("SELECT 1", timeout=self._silence / 2)
            except Exception as error:
                connection.terminate()
                if not unreachable(error) and not isinstance(error, asyncpg.PostgresError):
                    raise

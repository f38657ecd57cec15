"""Waking up by NOTIFY: one channel, a connection of its own, opened when waited for and again when lost."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from config.secrets import SecretStore
from domain.errors import Unavailable
from stores.postgres import Database, connect


class Listener:
    """Counts what it hears. A reader that remembers the count it has acted upon misses nothing.

    A new connection counts as one, because something may have been said before it listened.
    """

    def __init__(self, target: Database, secrets: SecretStore, channel: str) -> None:
        self._target = target
        self._secrets = secrets
        self._channel = channel
        self._connection: asyncpg.Connection | None = None
        self._opening = asyncio.Lock()
        self._heard = asyncio.Event()
        self.count = 0

    async def wait(self, seconds: float, *, since: int | None = None) -> int:
        """The count, as soon as it is above `since` (by default: as it is now), or after `seconds`.

        With the server away it is a plain sleep: polling goes on.
        """
        since = self.count if since is None else since
        try:
            async with asyncio.timeout(seconds):
                await self._opened(seconds)
                while self.count <= since:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            pass
        return self.count

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.remove_termination_listener(self._lost)
            connection.terminate()

    async def _opened(self, seconds: float) -> None:
        async with self._opening:
            if self._connection is not None:
                return
            try:
                connection = await connect(self._target, self._secrets)
                await self._listen(connection)
            except (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(seconds)
                return
            self._connection = connection
            self._hear()

    async def _listen(self, connection: asyncpg.Connection) -> None:
        try:
            await connection.add_listener(self._channel, self._hear)
        except BaseException:  # also cancelled: nobody would close it
            connection.terminate()
            raise
        connection.add_termination_listener(self._lost)

    def _hear(self, *_: Any) -> None:
        self.count += 1
        self._heard.set()

    def _lost(self, _: Any) -> None:
        self._connection = None
        self._hear()

"""Removes what sessions and repeated requests leave behind: a keeper of the event pump's leader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import asyncpg

from stores import idempotency
from stores.postgres import Postgres
from stores.refresh_tokens import Sessions

BATCH = 1000
"""Rows that one transaction removes."""

BATCHES = 100
"""Most of them in one turn."""


class SessionKeeper:
    """`auth` is `auth_db`; every one of `services` has a table `idempotency`.

    Sessions stay for `kept` after their end, an account's last one as long as the account.
    """

    name = "session-keeper"

    def __init__(self, auth: Postgres, services: Sequence[Postgres], *, kept: timedelta) -> None:
        self._auth = auth
        self._services = services
        self._kept = kept

    async def forget(self) -> int:
        """Remove what is old; how many rows. What is left over is the next turn's."""
        removed = await _emptied(self._auth, lambda db: Sessions(db).forget(self._kept, limit=BATCH))
        for service in self._services:
            removed += await _emptied(service, lambda db: idempotency.forget(db, limit=BATCH))
        return removed


async def _emptied(db: Postgres, remove: Callable[[asyncpg.Connection], Awaitable[int]]) -> int:
    removed = 0
    for _ in range(BATCHES):
        async with db.transaction() as connection:
            count = await remove(connection)
        removed += count
        if count < BATCH:
            break
    return removed

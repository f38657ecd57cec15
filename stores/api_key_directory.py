"""The published view of API keys: what every application asks before it answers one."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from stores.ports import ApiKeyState
from stores.postgres import Postgres

CAPACITY = 10_000
"""Most keys remembered in one process."""


@dataclass(slots=True)
class PostgresApiKeyDirectory:
    """Reads `auth_db.api.api_key_state`; believes an answer for `cache_seconds` (at most half a second).

    `db` connects as `api-key-reader`. A key that is unknown is not remembered. Raises `Unavailable` when the answer is
    not known freshly enough.
    """

    db: Postgres
    cache_seconds: float
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, tuple[float, ApiKeyState]] = field(default_factory=OrderedDict)
    _noted: dict[str, date] = field(default_factory=dict)

    async def lookup(self, prefix: str) -> ApiKeyState | None:
        asked = self.clock()
        known = self._known.get(prefix)
        if known is not None and asked - known[0] < self.cache_seconds:
            return known[1]
        self._known.pop(prefix, None)
        state = await self._read(prefix)
        if state is not None:
            self._known[prefix] = (asked, state)
            while len(self._known) > CAPACITY:
                self._known.popitem(last=False)
        return state

    async def used(self, prefix: str) -> None:
        today = datetime.now(UTC).date()
        if self._noted.get(prefix) == today:
            return
        async with self.db.connection() as connection:
            await connection.execute("SELECT api.note_api_key_use($1)", prefix)
        if len(self._noted) >= CAPACITY:
            self._noted.clear()
        self._noted[prefix] = today

    async def close(self) -> None:
        await self.db.close()

    async def _read(self, prefix: str) -> ApiKeyState | None:
        async with self.db.connection() as connection:
            row = await connection.fetchrow(
                """
                SELECT secret_sha256, active, scopes, principals, second_factor FROM api.api_key_state
                WHERE prefix = $1
                """,
                prefix,
            )
        if row is None:
            return None
        return ApiKeyState(
            row["secret_sha256"],
            row["active"],
            frozenset(row["scopes"]),
            frozenset(row["principals"]),
            row["second_factor"],
        )

"""When sessions were last used: in Redis for all processes together, in the process's memory beside it.

A use is written at most every few seconds a session and process, never to Postgres. While Redis is away, or after it
was emptied, the last use is the later of what this process saw and the issue of the token that is shown: a session
may end early then, and none that has ended comes back, because ending it is Postgres' affair.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.secrets import SecretStore
from config.settings import Settings
from stores.redis import open_redis

CAPACITY = 20_000
"""Most sessions remembered in one process."""

PRECISION_SECONDS = 10.0
"""How often at most a use is written; at most a tenth of the idle time."""

HOLD_OFF_SECONDS = 2.0
"""How long Redis is not asked again after it failed."""

log = structlog.get_logger(__name__)


class RedisSessionActivity:
    """`SessionActivity`. Never raises for Redis."""

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._own: OrderedDict[UUID, float] = OrderedDict()
        self._retry_at = 0.0

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> RedisSessionActivity:
        return cls(open_redis(settings, secrets))

    async def use(self, session_id: UUID, *, issued_at: datetime, idle_seconds: int) -> bool:
        now = self._clock()
        own = self._own.get(session_id, 0.0)
        if now - own < min(PRECISION_SECONDS, idle_seconds / 10):
            return True
        shared = (await self._read([session_id])).get(session_id, 0.0)
        if now - max(own, shared, issued_at.timestamp()) > idle_seconds:
            return False
        self._remember(session_id, now)
        await self._write(session_id, now, idle_seconds)
        return True

    async def last_used(self, session_ids: Collection[UUID]) -> dict[UUID, datetime]:
        known = {one: self._own[one] for one in session_ids if one in self._own}
        for session_id, at in (await self._read(list(session_ids))).items():
            known[session_id] = max(at, known.get(session_id, 0.0))
        return {session_id: datetime.fromtimestamp(at, UTC) for session_id, at in known.items()}

    async def forget(self, session_id: UUID) -> None:
        self._own.pop(session_id, None)
        if self._clock() >= self._retry_at:
            try:
                await self._redis.delete(_key(session_id))
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(error)

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def _read(self, session_ids: list[UUID]) -> dict[UUID, float]:
        if not session_ids or self._clock() < self._retry_at:
            return {}
        try:
            found = await self._redis.mget([_key(one) for one in session_ids])
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            return {}
        return {one: float(at) for one, at in zip(session_ids, found, strict=True) if at is not None}

    async def _write(self, session_id: UUID, now: float, idle_seconds: int) -> None:
        if self._clock() < self._retry_at:
            return
        try:
            await self._redis.set(_key(session_id), repr(now), ex=idle_seconds + 60)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)

    def _remember(self, session_id: UUID, now: float) -> None:
        self._own[session_id] = now
        self._own.move_to_end(session_id)
        while len(self._own) > CAPACITY:
            self._own.popitem(last=False)

    def _failed(self, error: BaseException) -> None:
        self._retry_at = self._clock() + HOLD_OFF_SECONDS
        log.warning("redis_away", error=type(error).__name__)


def _key(session_id: UUID) -> str:
    return f"session:used:{session_id}"

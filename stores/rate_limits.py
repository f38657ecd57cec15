"""Counting in moving windows: in Redis for all processes together, in the process while Redis is away."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from config.secrets import SecretStore
from config.settings import Settings
from stores.ports import Allowance
from stores.redis import connection_pool

STRICTER = 2
"""By how much the limits shrink while each process counts for itself."""

HOLD_OFF_SECONDS = 2.0
"""How long Redis is not asked again after it failed."""

log = structlog.get_logger(__name__)


class WindowRateLimiter:
    """`RateLimiter` over the `limits` library. Never raises for Redis: it falls back to stricter limits."""

    def __init__(self, pool: ConnectionPool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        storage = RedisStorage(
            "async+redis://given.by.pool:1",
            implementation="redispy",
            key_prefix="limits",
            connection_pool=pool,
        )
        self._shared = MovingWindowRateLimiter(storage)
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._clock = clock
        self._retry_at = 0.0

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> WindowRateLimiter:
        return cls(connection_pool(settings, secrets))

    async def take(self, key: str, *, limit: int, seconds: int) -> Allowance:
        return await self._ask(key, limit, seconds, count=True)

    async def peek(self, key: str, *, limit: int, seconds: int) -> Allowance:
        return await self._ask(key, limit, seconds, count=False)

    async def forget(self, key: str, *, limit: int, seconds: int) -> None:
        await self._own.clear(_item(limit, seconds, STRICTER), key)
        if self._clock() >= self._retry_at:
            try:
                await self._shared.clear(_item(limit, seconds), key)
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(error)

    async def close(self) -> None:
        await self._pool.disconnect()

    async def _ask(self, key: str, limit: int, seconds: int, *, count: bool) -> Allowance:
        own = _item(limit, seconds, STRICTER)
        if self._clock() >= self._retry_at:
            try:
                allowance = await _allowance(self._shared, _item(limit, seconds), key, count=count)
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(error)
            else:
                if count:
                    await self._own.hit(own, key)  # so that losing Redis does not start the window anew
                return allowance
        return await _allowance(self._own, own, key, count=count)

    def _failed(self, error: BaseException) -> None:
        self._retry_at = self._clock() + HOLD_OFF_SECONDS
        log.warning("redis_away", error=type(error).__name__)


def _item(limit: int, seconds: int, share: int = 1) -> RateLimitItemPerSecond:
    return RateLimitItemPerSecond(max(1, limit // share), seconds)


async def _allowance(
    strategy: MovingWindowRateLimiter, item: RateLimitItemPerSecond, key: str, *, count: bool
) -> Allowance:
    allowed = await (strategy.hit(item, key) if count else strategy.test(item, key))
    reset_at, remaining = await strategy.get_window_stats(item, key)
    return Allowance(allowed, max(0, remaining) if allowed else 0, max(0.0, reset_at - time.time()))

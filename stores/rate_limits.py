"""Counting in moving windows: in Redis for all processes together, in the process while Redis is away.

Each process also counts what it lets through itself: neither losing Redis nor an emptied Redis starts a window
anew, and what it let through alone, and is still in its window, is added when Redis is back. So that another
process may start one anew, `forget` leaves a mark in Redis, which goes with the rest when Redis is emptied.
"""

from __future__ import annotations

import asyncio
import secrets as randomness
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from config.secrets import SecretStore
from config.settings import Settings
from stores.own_windows import OwnWindows
from stores.ports import Allowance
from stores.redis import connection_pool

STRICTER = 4
"""By how much the limits shrink while each process counts for itself."""

HOLD_OFF_SECONDS = 2.0
"""How long Redis is not asked again after it failed."""

MARKS = 10_000
"""Most marks of forgotten windows that a process remembers to have seen."""

OWED = 10_000
"""Most windows that a process adds to when Redis is back."""

AWAY = (RedisError, OSError, TimeoutError)

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
        self._stored = storage.bridge.prefixed_key
        self._redis = Redis(connection_pool=pool)
        self._own = OwnWindows(clock=clock)
        self._seen: OrderedDict[str, bytes | str] = OrderedDict()
        self._owed: OrderedDict[tuple[str, int, int], int] = OrderedDict()
        self._settling = asyncio.Lock()
        self._clock = clock
        self._retry_at = 0.0

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> WindowRateLimiter:
        return cls(connection_pool(settings, secrets))

    async def take(self, key: str, *, limit: int, seconds: int) -> Allowance:
        return await self._ask(key, limit, seconds, count=True)

    async def peek(self, key: str, *, limit: int, seconds: int) -> Allowance:
        return await self._ask(key, limit, seconds, count=False)

    async def give_back(self, key: str, *, limit: int, seconds: int) -> None:
        self._own.give_back(key)
        if self._owed.get((key, limit, seconds)):
            self._owe(key, limit, seconds, -1)
        elif self._clock() >= self._retry_at:
            try:
                await self._redis.lpop(self._stored(_item(limit, seconds).key_for(key)))
            except AWAY as error:
                self._failed(error)

    async def forget(self, key: str, *, limit: int, seconds: int) -> None:
        self._own.forget(key)
        self._owed.pop((key, limit, seconds), None)
        if self._clock() >= self._retry_at:
            try:
                await self._shared.clear(_item(limit, seconds), key)
                await self._redis.set(_mark(key), randomness.token_bytes(8), ex=seconds)
            except AWAY as error:
                self._failed(error)

    async def close(self) -> None:
        await self._pool.disconnect()

    async def _ask(self, key: str, limit: int, seconds: int, *, count: bool) -> Allowance:
        if self._clock() >= self._retry_at:
            try:
                await self._settle()
                shared = await _allowance(self._shared, key, limit, seconds, count=count)
                return await self._agreed(shared, key, limit, seconds, count=count)
            except AWAY as error:
                self._failed(error)
        alone = max(1, limit // STRICTER)
        if not count:
            return self._own.look(key, alone, seconds)
        allowance = self._own.count(key, alone, seconds)
        if allowance.allowed:
            self._owe(key, limit, seconds, 1)
        return allowance

    async def _settle(self) -> None:
        """Count in Redis what was let through while it was away, and is in its window still."""
        if not self._owed:
            return
        async with self._settling:
            while self._owed:
                window, owed = self._owed.popitem(last=False)
                try:
                    await self._add(*window, owed)
                except BaseException:
                    self._owe(*window, owed)
                    raise

    async def _add(self, key: str, limit: int, seconds: int, owed: int) -> None:
        """Count as many at once as there is room for: one question a window as a rule, none of an empty one."""
        item = _item(limit, seconds)
        cost = min(owed, self._own.look(key, limit, seconds).used, limit)
        while cost > 0 and not await self._shared.hit(item, key, cost=cost):
            cost = min(cost, (await self._shared.get_window_stats(item, key)).remaining)

    def _owe(self, key: str, limit: int, seconds: int, change: int) -> None:
        window = (key, limit, seconds)
        self._owed[window] = self._owed.get(window, 0) + change
        if self._owed[window] <= 0:
            del self._owed[window]
        while len(self._owed) > OWED:
            self._owed.popitem(last=False)

    async def _agreed(
        self, shared: Allowance, key: str, limit: int, seconds: int, *, count: bool
    ) -> Allowance:
        """What Redis allows, unless this process has let through as much itself and nobody said to forget it."""
        if not shared.allowed:
            return shared
        if not self._own.look(key, limit, seconds).allowed and await self._newly_marked(key):
            self._own.forget(key)
        own = (self._own.count if count else self._own.look)(key, limit, seconds)
        return shared if own.allowed else own

    async def _newly_marked(self, key: str) -> bool:
        mark = await self._redis.get(_mark(key))
        if mark is None or self._seen.get(key) == mark:
            return False
        self._seen[key] = mark
        while len(self._seen) > MARKS:
            self._seen.popitem(last=False)
        return True

    def _failed(self, error: BaseException) -> None:
        self._retry_at = self._clock() + HOLD_OFF_SECONDS
        log.warning("redis_away", error=type(error).__name__)


def _mark(key: str) -> str:
    return f"forgotten:{key}"


def _item(limit: int, seconds: int) -> RateLimitItemPerSecond:
    return RateLimitItemPerSecond(limit, seconds)


async def _allowance(
    strategy: MovingWindowRateLimiter, key: str, limit: int, seconds: int, *, count: bool
) -> Allowance:
    item = _item(limit, seconds)
    allowed = await (strategy.hit(item, key) if count else strategy.test(item, key))
    reset_at, remaining = await strategy.get_window_stats(item, key)
    left = max(0, remaining)
    return Allowance(allowed, left if allowed else 0, max(0.0, reset_at - time.time()), limit - left)

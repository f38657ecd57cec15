"""Counting in windows: together in Redis, stricter and alone without it (F9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from limits.aio.strategies import MovingWindowRateLimiter

from config.secrets import SecretStore
from config.settings import RedisSettings, Settings
from stores.rate_limits import WindowRateLimiter
from stores.redis import connection_pool, open_redis


@pytest.fixture
async def limiter(settings: Settings, secrets: SecretStore) -> AsyncIterator[WindowRateLimiter]:
    found = WindowRateLimiter.of(settings, secrets)
    yield found
    await found.close()


@pytest.fixture
async def other(settings: Settings, secrets: SecretStore) -> AsyncIterator[WindowRateLimiter]:
    """Another process."""
    found = WindowRateLimiter.of(settings, secrets)
    yield found
    await found.close()


@pytest.fixture
def key() -> str:
    return uuid4().hex


async def test_processes_count_together(
    limiter: WindowRateLimiter, other: WindowRateLimiter, key: str
) -> None:
    taken = [await side.take(key, limit=4, seconds=60) for side in (limiter, other, limiter, other, limiter)]
    assert [allowance.allowed for allowance in taken] == [True] * 4 + [False]
    assert [allowance.remaining for allowance in taken] == [3, 2, 1, 0, 0]
    assert 58 < taken[-1].reset_seconds <= 61


async def test_a_look_does_not_count(limiter: WindowRateLimiter, key: str) -> None:
    for _ in range(3):
        assert (await limiter.peek(key, limit=1, seconds=60)).allowed
    assert (await limiter.take(key, limit=1, seconds=60)).allowed
    assert not (await limiter.peek(key, limit=1, seconds=60)).allowed


async def test_the_window_moves(limiter: WindowRateLimiter, key: str) -> None:
    assert (await limiter.take(key, limit=1, seconds=1)).allowed
    assert not (await limiter.take(key, limit=1, seconds=1)).allowed
    await asyncio.sleep(1.1)
    assert (await limiter.take(key, limit=1, seconds=1)).allowed


async def test_forgetting_starts_anew(limiter: WindowRateLimiter, other: WindowRateLimiter, key: str) -> None:
    await limiter.take(key, limit=1, seconds=60)
    await other.forget(key, limit=1, seconds=60)
    assert (await limiter.take(key, limit=1, seconds=60)).allowed


async def test_no_more_than_the_limit_at_once(
    limiter: WindowRateLimiter, other: WindowRateLimiter, key: str
) -> None:
    sides = [limiter, other] * 50
    taken = await asyncio.gather(*(side.take(key, limit=10, seconds=60) for side in sides))
    assert sum(allowance.allowed for allowance in taken) == 10


async def test_f9_without_redis_limits_are_stricter_and_nothing_opens(
    secrets: SecretStore, tmp_path: Path, key: str
) -> None:
    away = WindowRateLimiter.of(Settings(data_dir=tmp_path), secrets)
    taken = [await away.take(key, limit=8, seconds=60) for _ in range(4)]
    assert [allowance.allowed for allowance in taken] == [True, True, False, False]
    await away.forget(key, limit=8, seconds=60)
    assert (await away.take(key, limit=8, seconds=60)).allowed
    await away.close()


async def test_f9_losing_redis_does_not_start_the_window_anew_and_it_is_used_again(
    settings: Settings, secrets: SecretStore, tmp_path: Path, key: str
) -> None:
    now = [0.0]
    limiter = WindowRateLimiter(connection_pool(settings, secrets), clock=lambda: now[0])
    lost = WindowRateLimiter.of(Settings(data_dir=tmp_path), secrets)
    present, gone = limiter._shared, lost._shared
    assert (await limiter.take(key, limit=2, seconds=60)).remaining == 1
    limiter._shared = gone
    assert not (await limiter.take(key, limit=2, seconds=60)).allowed
    limiter._shared = present
    now[0] = 1.9
    assert not (await limiter.take(key, limit=2, seconds=60)).allowed
    now[0] = 2.0
    assert (await limiter.take(key, limit=2, seconds=60)).allowed
    await limiter.close()
    await lost.close()


async def test_f9_a_redis_that_does_not_answer_costs_a_moment_once(
    settings: Settings, secrets: SecretStore, tmp_path: Path, key: str
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    redis = RedisSettings(url=f"redis://127.0.0.1:{port}/0", timeout_seconds=0.1)
    limiter = WindowRateLimiter.of(Settings(data_dir=tmp_path, redis=redis), secrets)
    started = asyncio.get_running_loop().time()
    for _ in range(5):
        assert (await limiter.take(key, limit=100, seconds=60)).allowed
    assert asyncio.get_running_loop().time() - started < 1.5
    await limiter.close()
    server.close()
    await server.wait_closed()


async def test_f10_an_emptied_redis_opens_nothing_that_this_process_has_let_through(
    settings: Settings, secrets: SecretStore, limiter: WindowRateLimiter, key: str
) -> None:
    for _ in range(3):
        assert (await limiter.take(key, limit=3, seconds=60)).allowed
    redis = open_redis(settings, secrets)
    await redis.flushall()
    taken = [await limiter.take(key, limit=3, seconds=60) for _ in range(4)]
    assert not any(allowance.allowed for allowance in taken)
    await redis.flushall()
    await redis.aclose()
    await limiter.forget(key, limit=3, seconds=60)
    assert (await limiter.take(key, limit=3, seconds=60)).allowed


async def test_what_another_process_forgot_counts_once(
    limiter: WindowRateLimiter, other: WindowRateLimiter, key: str
) -> None:
    for _ in range(2):
        await limiter.take(key, limit=2, seconds=60)
    await other.forget(key, limit=2, seconds=60)
    taken = [await limiter.take(key, limit=2, seconds=60) for _ in range(4)]
    assert [allowance.allowed for allowance in taken] == [True, True, False, False]
    assert [allowance.used for allowance in taken] == [1, 2, 2, 2]


async def test_what_is_given_back_does_not_count(
    limiter: WindowRateLimiter, other: WindowRateLimiter, key: str
) -> None:
    for _ in range(5):
        assert (await limiter.take(key, limit=2, seconds=60)).allowed
        await limiter.give_back(key, limit=2, seconds=60)
    taken = [await side.take(key, limit=2, seconds=60) for side in (limiter, other, limiter)]
    assert [allowance.used for allowance in taken] == [1, 2, 2]


@dataclass
class Outage:
    """A limiter that Redis is away from until `end`; it goes by `now`."""

    limiter: WindowRateLimiter
    present: MovingWindowRateLimiter
    now: list[float]

    async def end(self) -> None:
        """Redis is back, and another window is counted in it."""
        self.limiter._shared = self.present
        self.now[0] += 2.0
        await self.limiter.take(uuid4().hex, limit=12, seconds=60)


@pytest.fixture
async def outage(settings: Settings, secrets: SecretStore, tmp_path: Path) -> AsyncIterator[Outage]:
    now = [0.0]
    limiter = WindowRateLimiter(connection_pool(settings, secrets), clock=lambda: now[0])
    lost = WindowRateLimiter.of(Settings(data_dir=tmp_path), secrets)
    present, limiter._shared = limiter._shared, lost._shared
    yield Outage(limiter, present, now)
    await limiter.close()
    await lost.close()


async def test_f9_what_was_let_through_alone_counts_when_redis_is_back(
    outage: Outage, other: WindowRateLimiter, key: str
) -> None:
    taken = [await outage.limiter.take(key, limit=12, seconds=60) for _ in range(4)]
    assert [allowance.allowed for allowance in taken] == [True] * 3 + [False]
    await outage.limiter.give_back(key, limit=12, seconds=60)
    await outage.end()
    assert (await other.take(key, limit=12, seconds=60)).used == 3


async def test_f9_what_has_left_its_window_while_redis_was_away_does_not_count(
    outage: Outage, other: WindowRateLimiter, key: str
) -> None:
    gone = uuid4().hex
    assert (await outage.limiter.take(gone, limit=12, seconds=60)).allowed
    for at, times in ((0.0, 3), (61.0, 3), (122.0, 2)):
        outage.now[0] = at
        for _ in range(times):
            assert (await outage.limiter.take(key, limit=12, seconds=60)).allowed
    await outage.end()
    assert (await other.peek(key, limit=12, seconds=60)).used == 2
    assert (await other.peek(gone, limit=12, seconds=60)).used == 0


async def test_f9_what_is_added_fills_a_window_that_has_no_room_for_all_of_it(
    outage: Outage, other: WindowRateLimiter, key: str
) -> None:
    for _ in range(3):
        assert (await outage.limiter.take(key, limit=12, seconds=60)).allowed
    for _ in range(10):
        assert (await other.take(key, limit=12, seconds=60)).allowed
    await outage.end()
    assert (await other.peek(key, limit=12, seconds=60)).used == 12
    assert not outage.limiter._owed

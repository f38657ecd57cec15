"""Logins that are on their way through a provider: in Redis for ten minutes, taken out by whoever comes back first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.errors import Unavailable

LIFE_SECONDS = 600
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Journey:
    """A browser that was sent to a provider; it is known by the digest of its cookie."""

    provider: str
    browser: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody whom a provider knows, and who has still to prove to be the account of that address."""

    provider: str
    issuer: str
    subject: str
    email: str = field(repr=False)


class OidcStates:
    """Raises `Unavailable` without Redis: then nobody can log in elsewhere, and nothing opens."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def depart(self, state: str, journey: Journey) -> None:
        await _reached(self._redis.set(_key("state", state), json.dumps(asdict(journey)), ex=LIFE_SECONDS))

    async def arrive(self, state: str) -> Journey | None:
        """The journey of that state, once."""
        found = await _reached(self._redis.getdel(_key("state", state)))
        return Journey(**json.loads(found)) if found else None

    async def hold(self, browser: str, arrival: Arrival) -> None:
        """Keep who arrived in this browser until the account is proven."""
        await _reached(self._redis.set(_key("link", browser), json.dumps(asdict(arrival)), ex=LIFE_SECONDS))

    async def held(self, browser: str) -> Arrival | None:
        found = await _reached(self._redis.get(_key("link", browser)))
        return Arrival(**json.loads(found)) if found else None

    async def release(self, browser: str) -> None:
        await _reached(self._redis.delete(_key("link", browser)))

    async def close(self) -> None:
        await self._redis.aclose()


async def _reached(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(
            f"Logins elsewhere need Redis, which is away ({type(error).__name__}). Try again in a moment.",
            code="store.redis_unavailable",
            retry_after=5,
        ) from error


def _key(kind: str, secret: str) -> str:
    """Only a digest: who reads Redis cannot go on with what lies there."""
    return f"oidc:{kind}:{hashlib.sha256(secret.encode()).hexdigest()}"

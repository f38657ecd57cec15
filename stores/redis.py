"""Where Redis is. Nothing that matters lives there: whoever uses it goes on without it."""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.runtime import redis_socket
from config.secrets import SecretStore
from config.settings import Settings

SECRET = "redis"  # noqa: S105 - a name, not a value
POOL_SIZE = 64
POOL_WAIT_SECONDS = 2.0
"""Longest wait for one of these connections: many requests at once are no sign that Redis is away."""


def connection_pool(settings: Settings, secrets: SecretStore) -> ConnectionPool:
    """A lazy pool to the configured or the embedded server; short timeouts, no retries of its own."""
    password = secrets.find(SECRET)
    options: dict[str, Any] = {
        "password": password.get_secret_value() if password else None,
        "socket_timeout": settings.redis.timeout_seconds,
        "socket_connect_timeout": settings.redis.timeout_seconds,
        "max_connections": POOL_SIZE,
        "timeout": POOL_WAIT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    if settings.redis.url:
        return BlockingConnectionPool.from_url(settings.redis.url, **options)
    options.pop("socket_connect_timeout")
    return BlockingConnectionPool(
        connection_class=UnixDomainSocketConnection, path=str(redis_socket(settings)), **options
    )


def open_redis(settings: Settings, secrets: SecretStore) -> Redis:
    return Redis.from_pool(connection_pool(settings, secrets))

"""The servers of a platform, as far as they are its own: Postgres and Redis unless a URL is set, Ray unless
an address is.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial

from redis.asyncio import Redis
from redis.exceptions import RedisError

from cluster.platform import ray_node
from cluster.platform.keeper import Server, ServerFailed
from cluster.platform.layout import Layout
from cluster.platform.ownership import mark
from cluster.platform.serve_api import ServeApi
from cluster.servers import postgres, redis
from config.runtime import redis_socket
from config.secrets import SecretStore
from config.settings import Settings

RAY_START_SECONDS = 120


def postgres_server(settings: Settings, secrets: SecretStore) -> Server:
    log = Layout.of(settings).logs / "postgres.log"
    return Server(
        name="postgres",
        start=lambda: postgres.start(settings, log, mark("postgres", settings.data_dir)),
        ready=lambda: postgres.wait_until_ready(settings, secrets),
        log=log,
        stop_signal=signal.SIGINT,
    )


def redis_server(settings: Settings, secrets: SecretStore) -> Server:
    log = Layout.of(settings).logs / "redis.log"
    return Server(
        name="redis",
        start=lambda: redis.start(settings, secrets, log, mark("redis", settings.data_dir)),
        ready=partial(_until, "redis", 30, lambda: _redis_answers(settings, secrets)),
        log=log,
    )


def ray_server(settings: Settings, api: ServeApi) -> Server:
    log = Layout.of(settings).logs / "ray.log"
    return Server(
        name="ray",
        start=lambda: ray_node.start(settings, mark("ray", settings.data_dir), log),
        ready=partial(_until, "ray", RAY_START_SECONDS, api.node_is_alive),
        log=log,
        stop_seconds=ray_node.DRAIN_SECONDS + 3,
        healthy=api.node_is_alive,
    )


async def _redis_answers(settings: Settings, secrets: SecretStore) -> bool:
    password = secrets.resolve(redis.SECRET).get_secret_value()
    client = Redis(unix_socket_path=str(redis_socket(settings)), password=password, socket_timeout=1)
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()


async def _until(name: str, seconds: float, answers: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + seconds
    while not await answers():
        if time.monotonic() > deadline:
            raise ServerFailed(f"{name} did not answer within {seconds:g} s.")
        await asyncio.sleep(0.1)

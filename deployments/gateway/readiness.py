"""Can the platform do its work? One probe a store, all at once, each with a short limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from config.secrets import SecretStore
from config.settings import SERVICES, Settings
from stores.postgres import Postgres, database
from stores.redis import open_redis

LIMIT_SECONDS = 2.0
Probe = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Check:
    """`probe` raises when the store does not answer. Not `needed`: work goes on without it."""

    name: str
    probe: Probe
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome; `error` names the class of what went wrong, never its text."""

    name: str
    needed: bool
    error: str | None


async def examine(checks: Sequence[Check], limit: float = LIMIT_SECONDS) -> list[Finding]:
    """Run all checks side by side."""
    return list(await asyncio.gather(*(_examined(check, limit) for check in checks)))


async def _examined(check: Check, limit: float) -> Finding:
    try:
        async with asyncio.timeout(limit):
            await check.probe()
    except Exception as error:  # noqa: BLE001 - any failure is the finding
        return Finding(check.name, check.needed, type(error).__name__)
    return Finding(check.name, check.needed, None)


class StoreChecks:
    """The checks of the configured stores, on connections of their own."""

    def __init__(self, settings: Settings, secrets: SecretStore) -> None:
        self._settings = settings
        self._secrets = secrets
        self._databases = {
            service: Postgres(database(settings, service), secrets, size=1, connect_timeout=LIMIT_SECONDS)
            for service in SERVICES
        }
        self._redis = open_redis(settings, secrets)

    def all(self) -> list[Check]:
        checks = [Check(f"{service}_db", _answers(db)) for service, db in self._databases.items()]
        checks += [Check("redis", self._redis.ping, needed=False), Check("token_keys", self._keys)]
        if self._settings.search.backend == "elasticsearch":
            checks.append(Check("elasticsearch", self._elasticsearch))
        return checks

    async def close(self) -> None:
        for db in self._databases.values():
            await db.close()
        await self._redis.aclose()

    async def _keys(self) -> None:
        self._settings.jwks_path.stat()

    async def _elasticsearch(self) -> None:
        from elasticsearch import AsyncElasticsearch

        key = self._secrets.find("elasticsearch-api-key")
        urls = list(self._settings.search.elasticsearch_urls)
        async with AsyncElasticsearch(urls, api_key=key.get_secret_value() if key else None) as client:
            await client.cluster.health(timeout="1s")


def _answers(db: Postgres) -> Probe:
    async def probe() -> None:
        async with db.connection() as connection:
            await connection.execute("SELECT 1")

    return probe

"""The real `search_db`, emptied of what the query side keeps before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from elasticsearch import AsyncElasticsearch

from cluster.databases import OWNER
from config.secrets import SecretStore
from config.settings import Settings
from domain.ids import new_id
from stores.ports import SearchIndex
from stores.postgres import Postgres, connect, database
from stores.search.elastic import ElasticsearchIndex
from stores.search.embedded import EmbeddedIndex
from tests.contract.search.http_world import SearchWorld, open_world
from tests.search_world import PneumoniaNames

TABLES = "visibility, search_window, outbox, subscription_position, subscription_event, dead_letter"


@pytest.fixture
async def owner(settings: Settings, secrets: SecretStore) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database(settings, "search", OWNER), secrets)
    await connection.execute(f"TRUNCATE {TABLES}")
    yield connection
    await connection.close()


@pytest.fixture
async def db(settings: Settings, secrets: SecretStore, owner: asyncpg.Connection) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "search")
    yield db
    await db.close()


@pytest.fixture(params=["embedded", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
async def index(
    request: pytest.FixtureRequest, settings: Settings, secrets: SecretStore, tmp_path: Path
) -> AsyncIterator[SearchIndex]:
    """Each backend, empty and without a generation; what the test makes is removed."""
    if request.param == "embedded":
        yield EmbeddedIndex(tmp_path / "index", Postgres.of(settings, secrets, "search"), True)
        await _forget_generations(settings, secrets)
    else:
        prefix = f"t{new_id().hex}"
        url = request.getfixturevalue("elasticsearch_url")
        async with AsyncElasticsearch([url], request_timeout=60) as client:
            yield ElasticsearchIndex(client, prefix)
        async with AsyncElasticsearch([url], request_timeout=60) as client:
            await client.indices.delete(index=list(await client.indices.get(index=f"{prefix}-generation-*")))


async def _forget_generations(settings: Settings, secrets: SecretStore) -> None:
    database = Postgres.of(settings, secrets, "search")
    async with database.transaction() as connection:
        for row in await connection.fetch("DELETE FROM index_generation RETURNING name"):
            await connection.execute(f'DROP TABLE generations."{row["name"]}"')
    await database.close()


@pytest.fixture
async def world(
    settings: Settings, secrets: SecretStore, tmp_path: Path, owner: asyncpg.Connection, index: SearchIndex
) -> AsyncIterator[SearchWorld]:
    async with open_world(settings, secrets, tmp_path, index, PneumoniaNames()) as world:
        yield world

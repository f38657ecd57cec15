"""The embedded index: the conformance suite, and what only it must hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from config.secrets import SecretStore
from config.settings import Settings
from stores.postgres import Postgres
from stores.search.embedded import EmbeddedIndex
from tests.contract.conformance.search_index import SearchIndexConformance, generation


@pytest.fixture
async def index(settings: Settings, secrets: SecretStore, tmp_path: Path) -> AsyncIterator[EmbeddedIndex]:
    name = f"t{uuid4().hex[:8]}"
    index = EmbeddedIndex(tmp_path, Postgres.of(settings, secrets, "search"), True)
    await index.create(generation(name))
    await index.promote(name)
    yield index
    await index.close()
    await forget(Postgres.of(settings, secrets, "search"), name)


@pytest.fixture
async def reader(
    index: EmbeddedIndex, settings: Settings, secrets: SecretStore, tmp_path: Path
) -> AsyncIterator[EmbeddedIndex]:
    reader = EmbeddedIndex(tmp_path, Postgres.of(settings, secrets, "search"))
    yield reader
    await reader.close()


async def forget(database: Postgres, prefix: str) -> None:
    """Remove a test's generations, the live one too."""
    async with database.transaction() as connection:
        rows = await connection.fetch(
            "DELETE FROM index_generation WHERE name LIKE $1 || '%' RETURNING name", prefix
        )
        for row in rows:
            await connection.execute(f'DROP TABLE generations."{row["name"]}"')
    await database.close()


class TestEmbeddedIndex(SearchIndexConformance):
    pass

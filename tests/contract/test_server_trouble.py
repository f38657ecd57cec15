"""What the server gives up for reasons of its own is `Unavailable`; a statement's own fault stays what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import StorageFull, Unavailable
from stores.postgres import Postgres


@pytest.fixture
async def db(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "document")
    yield db
    await db.close()


async def meet(db: Postgres, code: str) -> None:
    """Have the server raise the error with this SQLSTATE."""
    async with db.transaction() as connection:
        await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '{code}'; END $$")


@pytest.mark.parametrize("code", ["40001", "40P01", "57014"])
async def test_a_victim_may_try_again_at_once(db: Postgres, code: str) -> None:
    with pytest.raises(Unavailable) as met:
        await meet(db, code)
    assert (met.value.code, met.value.retry_after) == ("store.postgres_unavailable", 1)


@pytest.mark.parametrize("code", ["53200", "53300", "58030"])
async def test_a_server_short_of_something_is_away(db: Postgres, code: str) -> None:
    with pytest.raises(Unavailable) as met:
        await meet(db, code)
    assert met.value.code == "store.postgres_unavailable"


async def test_a_full_disk_is_told_from_a_server_that_is_away(db: Postgres) -> None:
    with pytest.raises(StorageFull) as met:
        await meet(db, "53100")
    assert "trouble" not in met.value.message


@pytest.mark.parametrize(
    ("code", "kind"), [("23505", asyncpg.UniqueViolationError), ("42P01", asyncpg.UndefinedTableError)]
)
async def test_a_statements_fault_is_ours(db: Postgres, code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await meet(db, code)

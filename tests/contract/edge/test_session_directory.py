"""The published view of sessions, as its reader sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Unavailable
from stores.accounts import Accounts, NewAccount
from stores.postgres import Postgres
from stores.refresh_tokens import NewSession, Session, Sessions, fresh_token
from stores.sessions import CAPACITY, PostgresSessionDirectory


@pytest.fixture
async def auth(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "auth")
    yield db
    await db.close()


@pytest.fixture
async def reader(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "auth", "session-reader")
    yield db
    await db.close()


async def begun(auth: Postgres, role: str = "doctor") -> Session:
    name = uuid4().hex
    new = NewAccount(f"{name}@example.com", f"{name}@example.com", name, name, None, "A", "B", role)
    async with auth.transaction() as connection:
        await Accounts(connection).add(new)
        ends = datetime.now(UTC) + timedelta(hours=1)
        return await Sessions(connection).start(NewSession(new.id, ends), token=fresh_token())


async def end(auth: Postgres, session: Session) -> None:
    async with auth.transaction() as connection:
        await Sessions(connection).end(session.id, "test")


async def test_a_state_is_believed_for_half_a_second_and_no_longer(auth: Postgres, reader: Postgres) -> None:
    now = [100.0]
    directory = PostgresSessionDirectory(reader, 0.5, clock=lambda: now[0])
    session = await begun(auth)
    found = await directory.lookup(session.id)
    assert found is not None
    assert (found.active, found.token_version) == (True, 1)
    assert found.principals == {f"user:{session.account_id}", "role:doctor"}
    await end(auth, session)
    now[0] = 100.49
    assert await directory.lookup(session.id) is found
    now[0] = 100.5
    ended = await directory.lookup(session.id)
    assert ended is not None
    assert not ended.active


async def test_an_unknown_session_is_asked_for_every_time(auth: Postgres, reader: Postgres) -> None:
    directory = PostgresSessionDirectory(reader, 0.5)
    assert await directory.lookup(uuid4()) is None
    session = await begun(auth)
    assert (await directory.lookup(session.id)) is not None


async def test_without_the_database_an_old_answer_does_not_count(
    auth: Postgres, settings: Settings, secrets: SecretStore, reader: Postgres, tmp_path: Path
) -> None:
    now = [0.0]
    directory = PostgresSessionDirectory(reader, 0.5, clock=lambda: now[0])
    session = await begun(auth)
    await directory.lookup(session.id)
    away = Settings(data_dir=tmp_path)
    directory.db = Postgres.of(away, secrets, "auth", "session-reader")
    assert await directory.lookup(session.id) is not None
    now[0] = 0.6
    with pytest.raises(Unavailable):
        await directory.lookup(session.id)
    await directory.close()


async def test_the_memory_is_bounded(reader: Postgres, auth: Postgres) -> None:
    directory = PostgresSessionDirectory(reader, 0.5)
    session = await begun(auth)
    state = await directory.lookup(session.id)
    assert state is not None
    for number in range(CAPACITY + 5):
        directory._remember(UUID(int=number), 0.0, state)
    assert len(directory._known) == CAPACITY
    assert session.id not in directory._known


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM account",
        "SELECT * FROM session",
        "SELECT * FROM refresh_token",
        "DELETE FROM session",
    ],
)
async def test_the_reader_sees_only_the_view(reader: Postgres, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with reader.connection() as connection:
            await connection.execute(statement)


async def test_the_account_decides_whether_a_session_is_active(auth: Postgres, reader: Postgres) -> None:
    session = await begun(auth)
    directory = PostgresSessionDirectory(reader, 0)
    for status, active in (("suspended", False), ("active", True), ("closed", False)):
        async with auth.transaction() as connection:
            await Accounts(connection).set_status(session.account_id, status)
        state = await directory.lookup(session.id)
        assert state is not None
        assert state.active is active

"""What other applications may know of sessions and API keys, and that their roles see nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from domain.ids import new_id
from stores.postgres import connect, database


@pytest.fixture
async def owner(settings: Settings, secrets: SecretStore) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database(settings, "auth", "owner"), secrets)
    yield connection
    await connection.close()


async def somebody(owner: asyncpg.Connection, role: str = "doctor") -> tuple[UUID, UUID]:
    """An account and its session."""
    account, session = new_id(), new_id()
    name = account.hex
    await owner.execute(
        """
        INSERT INTO account (id, email, email_key, username, username_key, first_name, last_name, role)
        VALUES ($1, $2, $2, $2, $2, 'A', 'B', $3)
        """,
        *(account, name, role),
    )
    await owner.execute(
        "INSERT INTO session (id, account_id, expires_at, address) VALUES ($1, $2, now() + interval '1 h', '')",
        *(session, account),
    )
    return account, session


async def read(
    settings: Settings, secrets: SecretStore, role: str, query: str, value: object
) -> asyncpg.Record:
    connection = await connect(database(settings, "auth", role), secrets)
    row = await connection.fetchrow(query, value)
    await connection.close()
    assert row is not None
    return row


async def open_glass(owner: asyncpg.Connection, account: UUID, session: UUID, **minutes: int) -> UUID:
    now, glass = datetime.now(UTC), new_id()
    await owner.execute(
        """
        INSERT INTO break_glass (id, account_id, session_id, patient, started_at, ends_at)
        VALUES ($1, $2, $3, 'LAB|7', $4, $5)
        """,
        *(glass, account, session),
        now + timedelta(minutes=minutes.get("start", 0)),
        now + timedelta(minutes=minutes.get("end", 60)),
    )
    return glass


async def test_broken_glass_opens_one_patient_in_its_session_until_it_ends(
    owner: asyncpg.Connection, settings: Settings, secrets: SecretStore
) -> None:
    account, session = await somebody(owner)
    other = new_id()
    await owner.execute(
        "INSERT INTO session (id, account_id, expires_at, address) VALUES ($1, $2, now() + interval '1 h', '')",
        *(other, account),
    )
    glass = await open_glass(owner, account, session)

    async def principals(sid: UUID) -> set[str]:
        row = await read(
            settings, secrets, "session-reader", "SELECT * FROM api.session_state WHERE sid = $1", sid
        )
        return set(row["principals"]) - {f"user:{account}", "role:doctor"}

    assert (await principals(session), await principals(other)) == ({"breakglass:LAB|7"}, set())
    with pytest.raises(asyncpg.UniqueViolationError):
        await open_glass(owner, account, session)
    await owner.execute("UPDATE break_glass SET ended_at = now() WHERE id = $1", glass)
    assert await principals(session) == set()
    await open_glass(owner, account, session, start=-61, end=-1)
    assert await principals(session) == set()


async def test_glass_is_broken_for_an_hour_at_most(owner: asyncpg.Connection) -> None:
    account, session = await somebody(owner)
    with pytest.raises(asyncpg.CheckViolationError):
        await open_glass(owner, account, session, end=61)


@pytest.mark.parametrize(
    ("change", "active"),
    [
        ("UPDATE api_key SET name = 'x' WHERE account_id = $1", True),
        ("UPDATE api_key SET revoked_at = now() WHERE account_id = $1", False),
        (
            "UPDATE api_key SET created_at = '2020-01-01', expires_at = '2020-01-02' WHERE account_id = $1",
            False,
        ),
        ("UPDATE account SET status = 'suspended' WHERE id = $1", False),
    ],
)
async def test_an_api_key_is_its_accounts_while_both_are_active(
    owner: asyncpg.Connection, settings: Settings, secrets: SecretStore, change: str, active: bool
) -> None:
    account, session = await somebody(owner)
    await open_glass(owner, account, session)
    prefix = account.hex[:8] + account.hex[-8:]
    await owner.execute(
        """
        INSERT INTO api_key (id, account_id, name, prefix, secret_sha256, scopes, expires_at)
        VALUES ($1, $2, 'script', $3, sha256('x'), '{search.query}', now() + interval '1 d')
        """,
        *(new_id(), account, prefix),
    )
    await owner.execute(change, account)
    query = "SELECT * FROM api.api_key_state WHERE prefix = $1"
    row = await read(settings, secrets, "api-key-reader", query, prefix)
    assert (row["active"], row["scopes"]) == (active, ["search.query"])
    assert set(row["principals"]) == {f"user:{account}", "role:doctor"}
    assert row["second_factor"] is False


@pytest.mark.parametrize("role", ["session-reader", "api-key-reader"])
@pytest.mark.parametrize("table", ["account", "session", "totp", "mail", "api_key", "email_token"])
async def test_the_readers_see_no_table(
    settings: Settings, secrets: SecretStore, role: str, table: str
) -> None:
    connection = await connect(database(settings, "auth", role), secrets)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch(f"SELECT * FROM {table}")
    await connection.close()

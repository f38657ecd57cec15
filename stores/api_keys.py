"""API keys in `auth_db`, as their owners manage them. Only the SHA-256 of a secret is stored."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg

from domain.api_keys import ApiKey
from domain.ids import new_id

COLUMNS = "id, prefix, name, scopes, created_at, expires_at, last_used_on"


@dataclass(frozen=True, slots=True)
class KeptKey:
    """What is known of a key after it was shown once."""

    id: UUID
    prefix: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_on: date | None


class ApiKeys:
    """The statements on API keys, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(
        self, account_id: UUID, key: ApiKey, *, name: str, scopes: Collection[str], expires_at: datetime
    ) -> KeptKey:
        rows = await self._connection.fetch(
            f"""
            INSERT INTO api_key (id, account_id, name, prefix, secret_sha256, scopes, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {COLUMNS}
            """,  # noqa: S608 - names of ours
            *(new_id(), account_id, name, key.prefix, key.digest, sorted(scopes), expires_at),
        )
        return _kept(rows[0])

    async def count(self, account_id: UUID) -> int:
        """How many of the account's count now."""
        return int(
            await self._connection.fetchval(
                "SELECT count(*) FROM api_key WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > now()",
                account_id,
            )
        )

    async def list(self, account_id: UUID, *, before: UUID | None, limit: int) -> list[KeptKey]:
        """The account's that were not revoked, newest first, also those that have expired."""
        rows = await self._connection.fetch(
            f"""
            SELECT {COLUMNS} FROM api_key
            WHERE account_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR id < $2)
            ORDER BY id DESC LIMIT $3
            """,  # noqa: S608 - names of ours
            *(account_id, before, limit),
        )
        return [_kept(row) for row in rows]

    async def revoke(self, account_id: UUID, key_id: UUID) -> str | None:
        """The key's prefix; None when it is not the account's, or was revoked before."""
        prefix: str | None = await self._connection.fetchval(
            """
            UPDATE api_key SET revoked_at = now() WHERE id = $2 AND account_id = $1 AND revoked_at IS NULL
            RETURNING prefix
            """,
            account_id,
            key_id,
        )
        return prefix

    async def revoke_all(self, account_id: UUID) -> tuple[str, ...]:
        """Prefixes of the account's keys that counted until now."""
        rows = await self._connection.fetch(
            """
            UPDATE api_key SET revoked_at = now()
            WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > now() RETURNING prefix
            """,
            account_id,
        )
        return tuple(row["prefix"] for row in rows)


def _kept(row: asyncpg.Record) -> KeptKey:
    return KeptKey(**{**row, "scopes": tuple(row["scopes"])})

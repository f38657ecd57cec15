"""E-mail addresses of accounts in `auth_db`: the one that counts, and the one that waits to be confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

COLUMNS = "id, email, email_key, pending_email, pending_email_key, email_verified_at IS NOT NULL AS verified"


@dataclass(frozen=True, slots=True)
class AccountAddresses:
    """`pending_email` counts once its link was used. Keys are normal forms."""

    id: UUID
    email: str
    email_key: str
    pending_email: str | None
    pending_email_key: str | None
    verified: bool


class Addresses:
    """The statements on addresses, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def locked(self, account_id: UUID) -> AccountAddresses | None:
        """Those of an active account; its row is held until the end of the transaction."""
        row = await self._connection.fetchrow(
            f"SELECT {COLUMNS} FROM account WHERE id = $1 AND status = 'active' FOR UPDATE",  # noqa: S608 - text of ours
            account_id,
        )
        return AccountAddresses(**row) if row else None

    async def pending(self, account_id: UUID) -> str | None:
        """The address that waits to be confirmed."""
        found: str | None = await self._connection.fetchval(
            "SELECT pending_email FROM account WHERE id = $1", account_id
        )
        return found

    async def wish(self, account_id: UUID, email: str | None, email_key: str | None) -> None:
        """Note another address; it changes nothing yet. None takes the wish back."""
        await self._connection.execute(
            "UPDATE account SET pending_email = $2, pending_email_key = $3, updated_at = now() WHERE id = $1",
            *(account_id, email, email_key),
        )

    async def verify(self, account_id: UUID) -> None:
        """The address that counts is proven."""
        await self._connection.execute(
            "UPDATE account SET email_verified_at = coalesce(email_verified_at, now()) WHERE id = $1",
            account_id,
        )

    async def change(self, account_id: UUID) -> bool:
        """The pending address counts from now on, and is proven; False when another account has it by now."""
        try:
            async with self._connection.transaction():
                return await self._changed(account_id)
        except asyncpg.UniqueViolationError:  # taken by another in this very moment
            return False

    async def _changed(self, account_id: UUID) -> bool:
        changed = await self._connection.fetchval(
            """
            UPDATE account a SET email = pending_email, email_key = pending_email_key, email_verified_at = now(),
                                 pending_email = NULL, pending_email_key = NULL, updated_at = now()
            WHERE id = $1 AND pending_email_key IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM account o WHERE o.email_key = a.pending_email_key) RETURNING true
            """,
            account_id,
        )
        return bool(changed)

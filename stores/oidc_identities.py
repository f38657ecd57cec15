"""Which account a person of a login provider is."""

from __future__ import annotations

from uuid import UUID

import asyncpg


class OidcIdentities:
    """The statements on identities elsewhere, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def account(self, issuer: str, subject: str) -> UUID | None:
        found: UUID | None = await self._connection.fetchval(
            "SELECT account_id FROM oidc_identity WHERE issuer = $1 AND subject = $2", issuer, subject
        )
        return found

    async def link(self, issuer: str, subject: str, account_id: UUID) -> bool:
        """False when the identity is another account's; linked twice is linked once."""
        await self._connection.execute(
            """
            INSERT INTO oidc_identity (issuer, subject, account_id) VALUES ($1, $2, $3)
            ON CONFLICT (issuer, subject) DO NOTHING
            """,
            *(issuer, subject, account_id),
        )
        return await self.account(issuer, subject) == account_id

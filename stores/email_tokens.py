"""Tokens of mailed links, in `auth_db`. A token is a code of a key over its row's id: the row has only its SHA-256,
and an attempt to send again makes the same one.

A link counts until it is used, ends, or a newer one of its purpose was made for the account; and only while the
account has the address that it went to.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain.mail import LinkPurpose
from stores.ports import Keys, KeyState, Purpose

GOOD = """
    t.token_sha256 = $1 AND t.purpose = $2 AND t.used_at IS NULL AND t.expires_at > clock_timestamp()
    AND NOT EXISTS (
        SELECT 1 FROM email_token n
        WHERE n.account_id = t.account_id AND n.purpose = t.purpose AND (n.created_at, n.id) > (t.created_at, t.id)
    )
"""


@dataclass(frozen=True, slots=True)
class Link:
    """Whose link it is, and the address (as key) that it went to."""

    account_id: UUID
    address_key: str


class EmailTokens:
    """The statements on tokens, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def issue(
        self, mail: UUID, link: Link, purpose: LinkPurpose, *, wished_at: datetime, keys: Keys
    ) -> str | None:
        """The token of `mail`, which lives from the first call on; None when it has ended meanwhile, or was used."""
        name = next(key.name for key in keys.list(Purpose.ACCOUNT_FIELD) if key.state is KeyState.CURRENT)
        await self._connection.execute(
            """
            INSERT INTO email_token (id, account_id, purpose, token_sha256, key_name, address_key, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8::interval) ON CONFLICT (id) DO NOTHING
            """,
            *(mail, link.account_id, purpose.value, digest(token_of(keys, name, purpose, mail)), name),
            *(link.address_key, wished_at, purpose.life),
        )
        row = await self._connection.fetchrow(
            """
            SELECT key_name, used_at IS NULL AND expires_at > clock_timestamp() AND address_key = $2 AS good
            FROM email_token WHERE id = $1
            """,
            mail,
            link.address_key,
        )
        return token_of(keys, row["key_name"], purpose, mail) if row and row["good"] else None

    async def look(self, token: str, purpose: LinkPurpose) -> Link | None:
        """Whose link it is, if it counts."""
        row = await self._connection.fetchrow(
            f"SELECT t.account_id, t.address_key FROM email_token t WHERE {GOOD}",  # noqa: S608 - text of ours
            digest(token),
            purpose.value,
        )
        return Link(**row) if row else None

    async def use(self, token: str, purpose: LinkPurpose) -> Link | None:
        """As `look`, and it counts no more: of parallel attempts exactly one gets it."""
        row = await self._connection.fetchrow(
            f"""
            UPDATE email_token t SET used_at = clock_timestamp() WHERE {GOOD} RETURNING t.account_id, t.address_key
            """,  # noqa: S608 - text of ours
            digest(token),
            purpose.value,
        )
        return Link(**row) if row else None

    async def forget(self, kept: timedelta) -> int:
        """Remove tokens that ended longer ago than `kept`; how many."""
        rows = await self._connection.fetch(
            "DELETE FROM email_token WHERE expires_at < clock_timestamp() - $1::interval RETURNING id", kept
        )
        return len(rows)


def token_of(keys: Keys, key_name: str, purpose: LinkPurpose, mail: UUID) -> str:
    """256 bits that nobody without the key can guess, as 43 characters of base64url."""
    code = keys.mac(Purpose.ACCOUNT_FIELD, f"{purpose.value}\n{mail}".encode(), key_name=key_name)
    return base64.urlsafe_b64encode(code).rstrip(b"=").decode()


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

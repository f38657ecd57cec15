"""Sessions and their refresh tokens in `auth_db`. A session is the family of tokens that follow one another.

Only the SHA-256 of a token is stored. Rotation is a compare-and-swap on the token's row: of parallel attempts
exactly one wins. A token shown again later is a copy in other hands: the whole family ends.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain.ids import new_id

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """One login."""

    id: UUID
    account_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Used:
    """A token that was rotated before, or (`rotated_at` None) whose session has ended."""

    session: Session
    rotated_at: datetime | None


def fresh_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Sessions:
    """The statements on sessions, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def start(self, account_id: UUID, *, token: str, expires_at: datetime, address: str) -> Session:
        """A new session with its first refresh token."""
        session = Session(new_id(), account_id, expires_at)
        await self._connection.execute(
            "INSERT INTO session (id, account_id, expires_at, address) VALUES ($1, $2, $3, $4)",
            session.id,
            account_id,
            expires_at,
            address,
        )
        await self._add_token(session.id, token)
        return session

    async def rotate(self, token: str, successor: str, *, now: datetime) -> Session | Used | None:
        """Replace `token` by `successor`: the session; or how the token was used; None when it is unknown."""
        row = await self._connection.fetchrow(
            """
            UPDATE refresh_token t SET rotated_at = $2
            FROM session s JOIN account a ON a.id = s.account_id
            WHERE t.token_sha256 = $1 AND t.rotated_at IS NULL AND s.id = t.session_id
              AND s.revoked_at IS NULL AND s.expires_at > $2 AND a.status = 'active'
            RETURNING s.id, s.account_id, s.expires_at
            """,
            digest(token),
            now,
        )
        if row is None:
            return await self._used(token)
        await self._add_token(row["id"], successor)
        return Session(**row)

    async def end(self, session_id: UUID, reason: str) -> bool:
        """End a session; False when it had ended before."""
        ended = await self._connection.fetchval(
            """
            UPDATE session SET revoked_at = now(), revoked_reason = $2 WHERE id = $1 AND revoked_at IS NULL
            RETURNING id
            """,
            session_id,
            reason,
        )
        return ended is not None

    async def end_others(self, account_id: UUID, kept: UUID | None, reason: str) -> int:
        """End all sessions of the account but `kept`; how many."""
        rows = await self._connection.fetch(
            """
            UPDATE session SET revoked_at = now(), revoked_reason = $3
            WHERE account_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL RETURNING id
            """,
            account_id,
            kept,
            reason,
        )
        return len(rows)

    async def cap(self, account_id: UUID, life: timedelta, *, second_factor: bool) -> None:
        """For another role of the account: its sessions last `life` from their login at most.

        With `second_factor`, those without one may do nothing before it is set up.
        """
        await self._connection.execute(
            """
            UPDATE session SET expires_at = least(expires_at, created_at + $2),
                               restriction = CASE WHEN $3 AND NOT mfa THEN 'mfa' ELSE restriction END
            WHERE account_id = $1 AND revoked_at IS NULL
            """,
            account_id,
            life,
            second_factor,
        )

    async def of_token(self, token: str) -> Session | None:
        row = await self._connection.fetchrow(
            """
            SELECT s.id, s.account_id, s.expires_at FROM refresh_token t JOIN session s ON s.id = t.session_id
            WHERE t.token_sha256 = $1
            """,
            digest(token),
        )
        return None if row is None else Session(**row)

    async def known_address(self, email_key: str, address: str, since: datetime) -> bool:
        """Whether that account logged in from that address since then."""
        found = await self._connection.fetchval(
            """
            SELECT 1 FROM session s JOIN account a ON a.id = s.account_id
            WHERE a.email_key = $1 AND s.address = $2 AND s.created_at > $3 LIMIT 1
            """,
            email_key,
            address,
            since,
        )
        return found is not None

    async def _add_token(self, session_id: UUID, token: str) -> None:
        await self._connection.execute(
            "INSERT INTO refresh_token (token_sha256, session_id) VALUES ($1, $2)", digest(token), session_id
        )

    async def _used(self, token: str) -> Used | None:
        row = await self._connection.fetchrow(
            """
            SELECT s.id, s.account_id, s.expires_at, t.rotated_at
            FROM refresh_token t JOIN session s ON s.id = t.session_id WHERE t.token_sha256 = $1
            """,
            digest(token),
        )
        if row is None:
            return None
        return Used(Session(row["id"], row["account_id"], row["expires_at"]), row["rotated_at"])

"""Sessions and their refresh tokens in `auth_db`. A session is the family of tokens that follow one another.

Only the SHA-256 of a token is stored. Rotation is a compare-and-swap on the token's row: of parallel attempts
exactly one wins. A token shown again later is a copy in other hands: the whole family ends.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg

from domain.ids import new_id

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a login is stored with. `restriction` `mfa`: a second factor must be set up first."""

    account_id: UUID
    expires_at: datetime
    address: str = ""
    user_agent: str | None = None
    method: Literal["password", "oidc"] = "password"
    mfa: bool = False
    restriction: Literal["mfa"] | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One login."""

    id: UUID
    account_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Rotated:
    """A session whose refresh token was replaced, and when the replaced one had been handed out."""

    session: Session
    created_at: datetime
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as its owner sees it; `renewed_at` is when it got its last refresh token."""

    id: UUID
    created_at: datetime
    renewed_at: datetime
    expires_at: datetime
    address: str
    user_agent: str | None
    method: Literal["password", "oidc"]
    mfa: bool


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

    async def start(self, new: NewSession, *, token: str) -> Session:
        """A new session with its first refresh token."""
        session = Session(new_id(), new.account_id, new.expires_at)
        await self._connection.execute(
            """
            INSERT INTO session (id, account_id, expires_at, address, user_agent, method, mfa, restriction)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """,
            *(session.id, new.account_id, new.expires_at, new.address),
            *(new.user_agent, new.method, new.mfa, new.restriction),
        )
        await self._add_token(session.id, token)
        return session

    async def rotate(self, token: str, successor: str, *, now: datetime) -> Rotated | Used | None:
        """Replace `token` by `successor`; or how the token was used; None when it is unknown."""
        row = await self._connection.fetchrow(
            """
            UPDATE refresh_token t SET rotated_at = $2
            FROM session s JOIN account a ON a.id = s.account_id
            WHERE t.token_sha256 = $1 AND t.rotated_at IS NULL AND s.id = t.session_id
              AND s.revoked_at IS NULL AND s.expires_at > $2 AND a.status = 'active'
            RETURNING s.id, s.account_id, s.expires_at, s.created_at, t.created_at AS issued_at
            """,
            digest(token),
            now,
        )
        if row is None:
            return await self._used(token)
        await self._add_token(row["id"], successor)
        session = Session(row["id"], row["account_id"], row["expires_at"])
        return Rotated(session, row["created_at"], row["issued_at"])

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

    async def open(self, account_id: UUID, *, before: UUID | None, limit: int) -> list[OpenSession]:
        """The account's sessions that have not ended, newest first; ids grow with time."""
        rows = await self._connection.fetch(
            """
            SELECT s.id, s.created_at, s.expires_at, s.address, s.user_agent, s.method, s.mfa,
                   coalesce((SELECT max(t.created_at) FROM refresh_token t WHERE t.session_id = s.id),
                            s.created_at) AS renewed_at
            FROM session s
            WHERE s.account_id = $1 AND s.revoked_at IS NULL AND s.expires_at > now()
              AND ($2::uuid IS NULL OR s.id < $2)
            ORDER BY s.id DESC LIMIT $3
            """,
            account_id,
            before,
            limit,
        )
        return [OpenSession(**row) for row in rows]

    async def goes_on(self, session_id: UUID) -> bool:
        """Whether it has not ended, by anybody or by time."""
        found = await self._connection.fetchval(
            "SELECT revoked_at IS NULL AND expires_at > now() FROM session WHERE id = $1", session_id
        )
        return bool(found)

    async def owner(self, session_id: UUID) -> UUID | None:
        """Whose session it is."""
        found: UUID | None = await self._connection.fetchval(
            "SELECT account_id FROM session WHERE id = $1", session_id
        )
        return found

    async def lift(self, session_id: UUID) -> None:
        """The second factor is set up: the session may be used for everything."""
        await self._connection.execute(
            "UPDATE session SET restriction = NULL, mfa = true WHERE id = $1", session_id
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

    async def forget(self, kept: timedelta, *, limit: int) -> int:
        """Remove sessions that ended longer ago than `kept`, with their tokens; how many, `limit` at most.

        One whose emergency access is not closed yet stays until it is, and an account's newest always: it says when
        the last login was.
        """
        rows = await self._connection.fetch(
            """
            DELETE FROM session WHERE id = ANY (ARRAY(
                SELECT s.id FROM session s
                WHERE least(s.expires_at, s.revoked_at) < now() - $1::interval AND NOT EXISTS (
                    SELECT 1 FROM break_glass b WHERE b.session_id = s.id AND b.ended_at IS NULL
                ) AND EXISTS (
                    SELECT 1 FROM session n
                    WHERE n.account_id = s.account_id AND (n.created_at, n.id) > (s.created_at, s.id)
                )
                LIMIT $2 FOR UPDATE SKIP LOCKED
            )) RETURNING id
            """,
            kept,
            limit,
        )
        return len(rows)

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

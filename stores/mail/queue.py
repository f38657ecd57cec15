"""The table `mail`: a row is added in the transaction of its cause, and sent by the mailer (`actors.mailer`).

A mailer claims rows for a while and counts the attempt before it sends. What it notes afterwards counts only while
the claim is its own: one that was frozen cannot overwrite what another did meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import asyncpg

from domain.events import Event, EventType
from domain.ids import new_id
from domain.mail import MailKind
from stores import outbox

CHANNEL = "mail"
"""LISTEN channel that is notified at commit when a mail was added."""

SOURCE = "/medsearch/auth"


@dataclass(frozen=True, slots=True)
class Recipient:
    """The account that a mail is for, as it is when the mail is sent."""

    id: UUID
    email: str
    email_key: str
    pending_email: str | None
    pending_email_key: str | None
    verified: bool
    active: bool


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """A claimed row; `attempts` includes the one that begins now."""

    id: UUID
    kind: str
    address: str | None
    parameters: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    attempts: int
    recipient: Recipient | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Mails neither sent nor given up, and the age of the oldest."""

    waiting: int
    oldest_seconds: float


class MailQueue:
    """The statements on mails, each on a connection that the caller has a transaction in."""

    @staticmethod
    async def add(
        connection: asyncpg.Connection,
        account_id: UUID | None,
        template: MailKind,
        parameters: Mapping[str, str] = MappingProxyType({}),
        *,
        address: str | None = None,
        request_id: str = "",
    ) -> UUID:
        """Send `template` to the account's address when the transaction commits, or to `address`; the mail's id.

        Without an account and an address nothing is sent: a row is written all the same, so that an unknown address
        costs what a known one does.
        """
        mail = new_id()
        await connection.execute(
            "INSERT INTO mail (id, account_id, address, template, parameters) VALUES ($1, $2, $3, $4, $5)",
            *(mail, account_id, address, template.value, dict(parameters)),
        )
        kind = EventType.NOTIFICATION_REQUESTED
        await outbox.publish(
            connection, _event(kind, mail, account_id, template.value, "requested", request_id)
        )
        await connection.execute(f"NOTIFY {CHANNEL}")
        return mail

    @staticmethod
    async def claim(connection: asyncpg.Connection, *, limit: int, lease: timedelta) -> list[QueuedMail]:
        """Mails that are due, oldest first; nobody else gets them before the lease ends."""
        rows = await connection.fetch(
            """
            WITH due AS (
                SELECT id FROM mail WHERE next_at <= clock_timestamp() AND sent_at IS NULL AND failed_at IS NULL
                ORDER BY next_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
            ), taken AS (
                UPDATE mail m SET attempts = attempts + 1, next_at = clock_timestamp() + $2::interval
                FROM due WHERE m.id = due.id RETURNING m.*
            )
            SELECT t.id, t.template, t.address, t.parameters, t.created_at, t.attempts, a.id AS account, a.email,
                   a.email_key, a.pending_email, a.pending_email_key, a.email_verified_at IS NOT NULL AS verified,
                   a.status = 'active' AS active
            FROM taken t LEFT JOIN account a ON a.id = t.account_id ORDER BY t.id
            """,
            limit,
            lease,
        )
        return [_queued(row) for row in rows]

    @staticmethod
    async def backlog(connection: asyncpg.Connection) -> Backlog:
        row = await connection.fetchrow(
            """
            SELECT count(*) AS waiting,
                   coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest_seconds
            FROM mail WHERE sent_at IS NULL AND failed_at IS NULL
            """
        )
        assert row is not None  # noqa: S101 - an aggregate always has its row
        return Backlog(**row)

    @staticmethod
    async def sent(connection: asyncpg.Connection, mail: QueuedMail) -> None:
        """Note that the mail is in other hands; the event tells it."""
        if await _finish(connection, mail, "sent_at = clock_timestamp(), reason = NULL"):
            kind = EventType.NOTIFICATION_DELIVERED
            await outbox.publish(connection, _event(kind, mail.id, _account(mail), mail.kind, "success"))

    @staticmethod
    async def failed(connection: asyncpg.Connection, mail: QueuedMail, reason: str) -> None:
        """Give the mail up, for a reason in one word; the event tells it."""
        if await _finish(connection, mail, "failed_at = clock_timestamp(), reason = $3", reason):
            kind = EventType.NOTIFICATION_FAILED
            await outbox.publish(connection, _event(kind, mail.id, _account(mail), mail.kind, reason))

    @staticmethod
    async def put_off(connection: asyncpg.Connection, mail: QueuedMail, reason: str, seconds: float) -> None:
        """Try the mail again after `seconds`."""
        again = "next_at = clock_timestamp() + $4::interval, reason = $3"
        await _finish(connection, mail, again, reason, timedelta(seconds=seconds))

    @staticmethod
    async def forget(connection: asyncpg.Connection, kept: timedelta) -> int:
        """Remove mails that are done and older than `kept`; how many."""
        rows = await connection.fetch(
            """
            DELETE FROM mail WHERE (sent_at IS NOT NULL OR failed_at IS NOT NULL)
                               AND created_at < clock_timestamp() - $1::interval RETURNING id
            """,
            kept,
        )
        return len(rows)


async def _finish(connection: asyncpg.Connection, mail: QueuedMail, change: str, *values: Any) -> bool:
    """Whether the claim was still ours."""
    done = await connection.fetchval(
        f"""
        UPDATE mail SET {change} WHERE id = $1 AND attempts = $2 AND sent_at IS NULL AND failed_at IS NULL
        RETURNING true
        """,  # noqa: S608 - text of ours
        mail.id,
        mail.attempts,
        *values,
    )
    return bool(done)


def _queued(row: asyncpg.Record) -> QueuedMail:
    names = ("email", "email_key", "pending_email", "pending_email_key", "verified", "active")
    known = row["account"] is not None
    recipient = Recipient(row["account"], **{name: row[name] for name in names}) if known else None
    return QueuedMail(
        id=row["id"],
        kind=row["template"],
        address=row["address"],
        parameters=row["parameters"],
        created_at=row["created_at"],
        attempts=row["attempts"],
        recipient=recipient,
    )


def _account(mail: QueuedMail) -> UUID | None:
    return mail.recipient.id if mail.recipient else None


def _event(
    event: EventType, mail: UUID, user: UUID | None, kind: str, outcome: str, request_id: str = ""
) -> Event:
    data = {
        "notification_id": str(mail),
        "user_id": str(user) if user else None,
        "kind": kind,
        "channel": "mail",
        "outcome": outcome,
    }
    return Event(event, str(mail), data, SOURCE, request_id)

"""The outbox: events and audit records written in the transaction of the change they speak of.

Each service database has the same tables, made by its migration with `cluster.event_tables.first(role)`:

    outbox(id uuid primary key, kind text, body jsonb, created_at timestamptz, delivered_at timestamptz)
    subscription_position(subscriber text, topic text, partition int, "offset" bigint)
    subscription_event(subscriber text, event_id uuid, taken_at timestamptz): what had its effect
    dead_letter(subscriber text, event_id uuid, body jsonb, reason text, attempts int, failed_at timestamptz)

The relay (`stores.relay`) delivers what is not yet delivered, found by `delivered_at IS NULL` and locked with
SKIP LOCKED, because polling by id misses the rows of slow transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from domain.events import Event

CHANNEL = "outbox"
"""LISTEN channel that is notified at commit when something was published."""


PUT = f"INSERT INTO outbox (id, kind, body) VALUES ($1, $2, $3) RETURNING pg_notify('{CHANNEL}', '')"  # noqa: S608 - a constant


async def publish(connection: asyncpg.Connection, *events: Event) -> None:
    """Add events to the outbox of the database that `connection` has a transaction in."""
    await connection.executemany(PUT, [(event.id, "event", event.to_cloudevent()) for event in events])


async def publish_audit(connection: asyncpg.Connection, *records: Mapping[str, Any]) -> None:
    """Add records made by `AuditLog.seal`, in the same transaction; the relay brings them to the trail."""
    await connection.executemany(PUT, [(UUID(record["id"]), "audit", dict(record)) for record in records])


@dataclass(frozen=True, slots=True)
class Depth:
    """Rows not yet delivered, and the age of the oldest."""

    waiting: int
    oldest_seconds: float


async def depth(connection: asyncpg.Connection) -> Depth:
    """How far the relay is behind in this database."""
    row = await connection.fetchrow(
        """
        SELECT count(*) AS waiting,
               coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest_seconds
        FROM outbox WHERE delivered_at IS NULL
        """
    )
    assert row is not None  # noqa: S101 - an aggregate always has its row
    return Depth(**row)

"""The outbox: events and audit records written in the transaction of the change they speak of.

Each service database has the same two tables:

    outbox(id uuid primary key, kind text, body jsonb, created_at timestamptz, delivered_at timestamptz)
    subscription_position(subscriber text, topic text, partition int, "offset" bigint, primary key (subscriber, topic, partition))

The relay (`actors.event_pump`) delivers what is not yet delivered, found by `delivered_at IS NULL` and locked with
SKIP LOCKED, because polling by id misses the rows of slow transactions.
"""

from __future__ import annotations

import asyncpg

from domain.events import Event

CHANNEL = "outbox"
"""LISTEN channel that is notified at commit when something was published."""


async def publish(connection: asyncpg.Connection, *events: Event) -> None:
    """Add events to the outbox of the database that `connection` has a transaction in."""
    await connection.executemany(
        "INSERT INTO outbox (id, kind, body) VALUES ($1, 'event', $2)",
        [(event.id, event.to_cloudevent()) for event in events],
    )
    await connection.execute(f"NOTIFY {CHANNEL}")

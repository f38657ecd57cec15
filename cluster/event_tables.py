"""The tables by which a service database takes part in the event flow, for its first migration.

    for statement in event_tables.first("medsearch_document"): op.execute(statement)

Migrations are never edited after they landed: a change is a new function here, called by a new migration.
"""

from __future__ import annotations


def first(role: str) -> tuple[str, ...]:
    """Outbox, positions, ids of events taken, dead letters, and what `role` may do: one statement each."""
    return (
        """
        CREATE TABLE outbox (
            id uuid PRIMARY KEY,
            kind text NOT NULL CHECK (kind IN ('event', 'audit')),
            body jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            delivered_at timestamptz
        )
        """,
        "CREATE INDEX outbox_waiting ON outbox (kind, id) WHERE delivered_at IS NULL",
        "CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE delivered_at IS NOT NULL",
        """
        CREATE TABLE subscription_position (
            subscriber text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            "offset" bigint NOT NULL,
            PRIMARY KEY (subscriber, topic, partition)
        )
        """,
        """
        CREATE TABLE subscription_event (
            subscriber text NOT NULL,
            event_id uuid NOT NULL,
            taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (subscriber, event_id)
        )
        """,
        "CREATE INDEX subscription_event_age ON subscription_event (taken_at)",
        """
        CREATE TABLE dead_letter (
            subscriber text NOT NULL,
            event_id uuid NOT NULL,
            body jsonb NOT NULL,
            reason text NOT NULL,
            attempts int NOT NULL,
            failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (subscriber, event_id)
        )
        """,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO {role}",
        f"GRANT SELECT, INSERT, UPDATE ON subscription_position TO {role}",
        f"GRANT SELECT, INSERT, DELETE ON subscription_event, dead_letter TO {role}",
    )

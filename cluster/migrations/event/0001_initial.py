"""The event log: one partition a topic, offsets that rise in the order of commit."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE event (
            "offset" bigint PRIMARY KEY,
            topic text NOT NULL,
            id uuid NOT NULL UNIQUE,
            body jsonb NOT NULL,
            appended_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )
        """
    )
    op.execute('CREATE INDEX event_topic ON event (topic, "offset")')
    op.execute("GRANT SELECT, INSERT ON event TO medsearch_event")

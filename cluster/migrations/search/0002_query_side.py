"""The query side: what may be shown now, frozen result windows, the event tables."""

from alembic import op

from cluster import event_tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE visibility (
            document_id uuid PRIMARY KEY,
            version int NOT NULL,
            revision bigint NOT NULL,
            access text[] NOT NULL,
            deleted boolean NOT NULL DEFAULT false
        )
        """
    )
    op.execute("COMMENT ON COLUMN visibility.access IS 'effective principals: one set intersection decides'")
    op.execute(
        # unlogged: a window lost in a crash is an expired one, and writing it costs half
        """
        CREATE UNLOGGED TABLE search_window (
            id uuid PRIMARY KEY,
            account text NOT NULL,
            total int NOT NULL,
            legs text[] NOT NULL,
            entries bytea NOT NULL,
            expires_at timestamptz NOT NULL
        )
        """
    )
    op.execute("ALTER TABLE search_window ALTER COLUMN entries SET STORAGE EXTERNAL")
    op.execute("CREATE INDEX search_window_account ON search_window (account, id)")
    op.execute("CREATE INDEX search_window_expiry ON search_window (expires_at)")
    for statement in event_tables.first("medsearch_search"):
        op.execute(statement)
    op.execute("GRANT SELECT, INSERT, UPDATE ON visibility TO medsearch_search")
    op.execute("GRANT SELECT, INSERT, DELETE ON search_window TO medsearch_search")

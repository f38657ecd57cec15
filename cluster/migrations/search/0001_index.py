"""Generations of the embedded index; their vector tables are made at run time in the schema `generations`."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE index_generation (
            name text PRIMARY KEY,
            encoder text NOT NULL,
            dimension int NOT NULL CHECK (dimension > 0),
            analysis text NOT NULL,
            state text NOT NULL CHECK (state IN ('building', 'live', 'retired')),
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX index_generation_one_live ON index_generation (state) WHERE state = 'live'"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON index_generation TO medsearch_search")
    op.execute("CREATE SCHEMA generations")
    op.execute("GRANT USAGE, CREATE ON SCHEMA generations TO medsearch_search")

"""Where the encoder of a generation was found, so that any process can load it."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE index_generation ADD COLUMN source text NOT NULL DEFAULT ''")

"""The event service forgets what is old and was taken by every subscriber."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("GRANT DELETE ON event TO medsearch_event")

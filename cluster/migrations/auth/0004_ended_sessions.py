"""The service removes sessions that ended long ago, and with them their refresh tokens and emergency accesses."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("GRANT DELETE ON session TO medsearch_auth")
    op.execute("CREATE INDEX session_end ON session (least(expires_at, revoked_at))")

"""The published view of API keys says whether their owner has a second factor: a role may need one."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    """
    CREATE OR REPLACE VIEW api.api_key_state AS
    SELECT k.prefix,
           k.secret_sha256,
           k.revoked_at IS NULL AND k.expires_at > now() AND a.status = 'active' AS active,
           k.scopes,
           ARRAY['user:' || a.id, 'role:' || a.role]
           || ARRAY(SELECT 'department:' || d.department FROM account_department d WHERE d.account_id = a.id)
           || ARRAY(SELECT 'self:' || o.patient FROM own_record o WHERE o.account_id = a.id)
           || ARRAY(SELECT DISTINCT 'treating:' || t.patient FROM treatment_relation t
                    WHERE t.account_id = a.id AND t.starts_at <= now() AND t.ends_at > now()) AS principals,
           EXISTS (SELECT 1 FROM totp f WHERE f.account_id = a.id AND f.confirmed_at IS NOT NULL)
               AS second_factor
    FROM api_key k JOIN account a ON a.id = k.account_id
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

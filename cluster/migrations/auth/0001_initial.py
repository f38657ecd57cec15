"""Accounts, what they belong to, their sessions; and the published view of a session."""

from alembic import op

from cluster import event_tables

revision = "0001"
down_revision = None

ROLE = "medsearch_auth"

STATEMENTS = (
    """
    CREATE TABLE account (
        id uuid PRIMARY KEY,
        kind text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service')),
        email text NOT NULL,
        email_key text NOT NULL UNIQUE,
        username text NOT NULL,
        username_key text NOT NULL UNIQUE,
        password_hash text,
        first_name text NOT NULL,
        last_name text NOT NULL,
        role text NOT NULL,
        requested_role text,
        status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'closed')),
        specialty text,
        institution text,
        email_verified_at timestamptz,
        token_version int NOT NULL DEFAULT 1,
        password_changed_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE account_department (
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        department text NOT NULL,
        PRIMARY KEY (account_id, department)
    )
    """,
    """
    CREATE TABLE own_record (
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        patient text NOT NULL,
        set_by uuid REFERENCES account,
        set_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (account_id, patient)
    )
    """,
    """
    CREATE TABLE treatment_relation (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        patient text NOT NULL,
        starts_at timestamptz NOT NULL DEFAULT now(),
        ends_at timestamptz NOT NULL,
        set_by uuid REFERENCES account,
        CHECK (ends_at > starts_at)
    )
    """,
    "CREATE INDEX treatment_relation_account ON treatment_relation (account_id, ends_at)",
    """
    CREATE TABLE session (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        revoked_reason text,
        address text NOT NULL
    )
    """,
    "CREATE INDEX session_account ON session (account_id, created_at)",
    """
    CREATE TABLE refresh_token (
        token_sha256 bytea PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
        session_id uuid NOT NULL REFERENCES session ON DELETE CASCADE,
        created_at timestamptz NOT NULL DEFAULT now(),
        rotated_at timestamptz
    )
    """,
    "CREATE INDEX refresh_token_session ON refresh_token (session_id)",
    f"GRANT SELECT, INSERT, UPDATE ON account, session, refresh_token, treatment_relation TO {ROLE}",
    f"GRANT SELECT, INSERT, DELETE ON account_department, own_record TO {ROLE}",
    "CREATE SCHEMA api",
    # Departments and treatment relations count only for roles that read by access list as professionals:
    # one left over from another role opens nothing.
    """
    CREATE VIEW api.session_state AS
    SELECT s.id AS sid,
           s.revoked_at IS NULL AND s.expires_at > now() AND a.status = 'active' AS active,
           a.token_version,
           ARRAY['user:' || a.id, 'role:' || a.role]
           || ARRAY(SELECT 'department:' || d.department FROM account_department d
                    WHERE d.account_id = a.id AND a.role IN ('nurse', 'doctor', 'department_admin'))
           || ARRAY(SELECT 'self:' || o.patient FROM own_record o
                    WHERE o.account_id = a.id AND a.role <> 'researcher')
           || ARRAY(SELECT DISTINCT 'treating:' || t.patient FROM treatment_relation t
                    WHERE t.account_id = a.id AND a.role IN ('nurse', 'doctor')
                      AND t.starts_at <= now() AND t.ends_at > now()) AS principals
    FROM session s JOIN account a ON a.id = s.account_id
    """,
    "GRANT USAGE ON SCHEMA api TO medsearch_session_reader",
    "GRANT SELECT ON api.session_state TO medsearch_session_reader",
)


def upgrade() -> None:
    for statement in (*event_tables.first(ROLE), *STATEMENTS):
        op.execute(statement)

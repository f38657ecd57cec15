"""The audit trail: rows that the application can add and nothing else."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE audit_record (
        id uuid PRIMARY KEY,
        position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
        at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        action text NOT NULL CHECK (action IN ('C', 'R', 'U', 'D', 'E')),
        event text NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('success', 'denied', 'failure')),
        actor text NOT NULL,
        role text NOT NULL,
        on_behalf_of text,
        patient text,
        document_ids uuid[] NOT NULL,
        version int,
        reason text,
        purpose text,
        address text,
        request_id text NOT NULL,
        session_id text,
        sealed bytea,
        nonce bytea,
        key_name text,
        CHECK (num_nulls(sealed, nonce, key_name) IN (0, 3))
    )
    """,
    "CREATE INDEX audit_record_at ON audit_record (at)",
    "CREATE INDEX audit_record_patient ON audit_record (patient, at) WHERE patient IS NOT NULL",
    "CREATE INDEX audit_record_actor ON audit_record (actor, at)",
    "CREATE INDEX audit_record_documents ON audit_record USING gin (document_ids)",
    "GRANT INSERT ON audit_record TO medsearch_audit",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

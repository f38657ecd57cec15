"""Patients of what was shown, the chain with its heads, and two roles: one reads, one seals.

No role but the owner's can change or remove a record, a link or a head: the retention runs as the owner.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE audit_record ADD COLUMN patients text[] NOT NULL DEFAULT '{}'",
    "COMMENT ON COLUMN audit_record.patients IS 'patient first, then those of the documents shown'",
    # records from before showed, as far as they say, the patient that they are about
    "UPDATE audit_record SET patients = ARRAY[patient] WHERE patient IS NOT NULL",
    "CREATE INDEX audit_record_patients ON audit_record USING gin (patients)",
    "CREATE INDEX audit_record_event ON audit_record (event, at)",
    # the order of sealing: below the oldest running transaction nothing is added to it any more
    "CREATE INDEX audit_record_sealing ON audit_record (transaction_id, position)",
    """
    CREATE TABLE audit_link (
        seq bigint PRIMARY KEY CHECK (seq >= 1),
        record_id uuid NOT NULL UNIQUE,
        day date NOT NULL,
        hash bytea NOT NULL CHECK (octet_length(hash) = 32)
    )
    """,
    "COMMENT ON TABLE audit_link IS 'one a sealed record, in one sequence; no foreign key: a removed record must show'",
    "COMMENT ON COLUMN audit_link.day IS 'UTC day of sealing: late records never open a day that is over'",
    "CREATE INDEX audit_link_day ON audit_link (day, seq)",
    """
    CREATE TABLE audit_head (
        seq bigint PRIMARY KEY,
        day date NOT NULL,
        count bigint NOT NULL CHECK (count >= 0),
        hash bytea NOT NULL CHECK (octet_length(hash) = 32),
        signature bytea NOT NULL CHECK (octet_length(signature) = 64),
        key_name text NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    "COMMENT ON COLUMN audit_head.seq IS 'the last link that the head covers'",
    "COMMENT ON COLUMN audit_head.key_name IS 'kid of the signing key'",
    "CREATE INDEX audit_head_day ON audit_head (day, seq)",
    "GRANT SELECT ON audit_record, audit_link, audit_head TO medsearch_audit_reader",
    "GRANT SELECT ON audit_record TO medsearch_audit_sealer",
    "GRANT SELECT, INSERT ON audit_link, audit_head TO medsearch_audit_sealer",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

"""Documents, their versions, idempotency keys, the published view, the event tables."""

from alembic import op

from cluster import event_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE document (
            id uuid PRIMARY KEY,
            version int NOT NULL DEFAULT 1 CHECK (version >= 1),
            revision bigint NOT NULL DEFAULT 1 CHECK (revision >= 1),
            owner_id uuid NOT NULL,
            uploaded_by uuid NOT NULL,
            filename text NOT NULL,
            title text NOT NULL,
            document_type text NOT NULL,
            document_date date,
            patient text,
            department text,
            sensitivity text NOT NULL CHECK (sensitivity IN ('normal', 'restricted', 'deidentified')),
            access text[] NOT NULL,
            readers text[] NOT NULL,
            upload_scope text NOT NULL,
            blob_key text NOT NULL,
            sha256 text NOT NULL,
            bytes bigint NOT NULL,
            media_type text,
            lane text NOT NULL,
            status text NOT NULL DEFAULT 'received',
            stage text,
            progress real NOT NULL DEFAULT 0,
            failures int NOT NULL DEFAULT 0,
            sequence bigint NOT NULL DEFAULT 0,
            eta_at timestamptz,
            reason_code text,
            pages int,
            unreadable_pages int[] NOT NULL DEFAULT '{}',
            warnings text[] NOT NULL DEFAULT '{}',
            artefacts jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        "COMMENT ON COLUMN document.readers IS"
        " 'effective_principals of access and sensitivity: one set intersection decides'"
    )
    op.execute(
        "COMMENT ON COLUMN document.upload_scope IS"
        " 'digest of sensitivity and access list at upload: what a duplicate must share'"
    )
    op.execute(
        """
        CREATE UNIQUE INDEX document_live_once ON document (owner_id, patient, sha256, upload_scope)
            NULLS NOT DISTINCT WHERE status NOT IN ('deleting', 'deleted')
        """
    )
    op.execute("CREATE INDEX document_readers ON document USING gin (readers)")
    op.execute("CREATE INDEX document_newest ON document (created_at, id)")
    op.execute("CREATE INDEX document_title ON document (lower(title), id)")
    op.execute("CREATE INDEX document_uploader ON document (uploaded_by, created_at, id)")
    op.execute("CREATE INDEX document_patient ON document (patient, created_at, id)")
    op.execute(
        """
        CREATE TABLE document_version (
            document_id uuid NOT NULL REFERENCES document,
            version int NOT NULL,
            blob_key text NOT NULL,
            sha256 text NOT NULL,
            bytes bigint NOT NULL,
            filename text NOT NULL,
            uploaded_by uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (document_id, version)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE idempotency (
            account uuid NOT NULL,
            operation text NOT NULL,
            key text NOT NULL,
            fingerprint text NOT NULL,
            status int,
            answer jsonb,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (account, operation, key)
        )
        """
    )
    op.execute("CREATE INDEX idempotency_age ON idempotency (created_at)")
    for statement in event_tables.first("medsearch_document"):
        op.execute(statement)
    op.execute("GRANT SELECT, INSERT, UPDATE ON document, document_version TO medsearch_document")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO medsearch_document")
    op.execute("CREATE SCHEMA api")
    op.execute(
        """
        CREATE VIEW api.document_state AS
            SELECT id AS document_id, version, revision, status IN ('deleting', 'deleted') AS deleted,
                   filename, title, document_type, document_date, patient, department, owner_id,
                   sensitivity, access
            FROM document
        """
    )
    op.execute("GRANT USAGE ON SCHEMA api TO medsearch_document_reader")
    op.execute("GRANT SELECT ON api.document_state TO medsearch_document_reader")

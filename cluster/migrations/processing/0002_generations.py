"""Generations of the index: which documents each holds, which are being filled, the jobs that do it."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE job DROP CONSTRAINT job_kind_check")
    op.execute(
        "ALTER TABLE job ADD CONSTRAINT job_kind_check CHECK (kind IN ('process', 'embed', 'update', 'delete'))"
    )
    op.execute("ALTER TABLE job ADD COLUMN generation text")
    op.execute("ALTER TABLE job ADD CHECK ((kind = 'embed') = (generation IS NOT NULL))")
    op.execute("DROP INDEX job_queued")
    op.execute("ALTER TABLE job DROP COLUMN urgent")
    op.execute(
        "ALTER TABLE job ADD COLUMN urgent boolean NOT NULL"
        " GENERATED ALWAYS AS (kind IN ('update', 'delete')) STORED"
    )
    op.execute("CREATE INDEX job_queued ON job (stage, urgent DESC, lane, id) WHERE status = 'queued'")
    op.execute("DROP INDEX job_change_once")
    op.execute(
        "CREATE UNIQUE INDEX job_change_once ON job (document_id, kind, revision)"
        " WHERE kind IN ('update', 'delete')"
    )
    op.execute(
        "CREATE UNIQUE INDEX job_embed_once ON job (generation, document_id, version) WHERE kind = 'embed'"
    )
    op.execute(
        "CREATE TABLE filling (generation text PRIMARY KEY, stopped boolean NOT NULL DEFAULT false,"
        " begun_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    op.execute("COMMENT ON TABLE filling IS 'generations beside the live one that get every document'")
    op.execute(
        """
        CREATE TABLE generation_document (
            generation text NOT NULL,
            document_id uuid NOT NULL,
            version int NOT NULL,
            vectors text NOT NULL,
            PRIMARY KEY (document_id, generation)
        )
        """
    )
    op.execute("COMMENT ON TABLE generation_document IS 'what was written to which generation of the index'")
    op.execute("COMMENT ON COLUMN generation_document.vectors IS 'key of the blob with the vectors'")
    op.execute("CREATE INDEX generation_document_generation ON generation_document (generation, document_id)")
    op.execute(
        """
        INSERT INTO generation_document
        SELECT DISTINCT ON (document_id) 'g1', document_id, version, artefacts->>'embed'
        FROM job WHERE kind = 'process' AND status = 'indexed' AND artefacts ? 'embed'
        ORDER BY document_id, version DESC
        """
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON filling, generation_document TO medsearch_processing")

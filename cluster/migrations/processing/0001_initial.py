"""Jobs, workers, scaling decisions, the pause switch, the event tables."""

from alembic import op

from cluster import event_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE job_sequence AS bigint")
    op.execute(
        """
        CREATE TABLE job (
            id uuid PRIMARY KEY,
            document_id uuid NOT NULL,
            version int NOT NULL,
            revision bigint NOT NULL,
            kind text NOT NULL CHECK (kind IN ('process', 'update', 'delete')),
            lane text NOT NULL CHECK (lane IN ('online', 'bulk')),
            urgent boolean NOT NULL GENERATED ALWAYS AS (kind <> 'process') STORED,
            status text NOT NULL CHECK (status IN
                ('queued', 'processing', 'retry_wait', 'indexed', 'rejected', 'quarantined', 'deleted')),
            stage text CHECK (stage IN ('extract', 'annotate', 'embed', 'index')),
            blob_key text NOT NULL,
            request_id text NOT NULL,
            attempt int NOT NULL DEFAULT 0,
            failures int NOT NULL DEFAULT 0,
            lost_leases int NOT NULL DEFAULT 0,
            fence bigint NOT NULL DEFAULT 0,
            holder text,
            lease_until timestamptz,
            ready_at timestamptz,
            sequence bigint NOT NULL,
            reason_code text,
            facts jsonb NOT NULL DEFAULT '{}',
            artefacts jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            started_at timestamptz,
            finished_at timestamptz,
            CHECK ((status = 'processing') = (holder IS NOT NULL)),
            CHECK ((status = 'processing') = (lease_until IS NOT NULL)),
            CHECK ((status = 'retry_wait') = (ready_at IS NOT NULL))
        )
        """
    )
    op.execute("COMMENT ON COLUMN job.attempt IS 'tries of this stage so far, raised before the work starts'")
    op.execute(
        "COMMENT ON COLUMN job.facts IS 'what the stages found out: pages, parser, models, ... (no text)'"
    )
    op.execute("COMMENT ON COLUMN job.artefacts IS 'stage -> key of its blob'")
    op.execute("CREATE UNIQUE INDEX job_once ON job (document_id, version) WHERE kind = 'process'")
    op.execute(
        "CREATE UNIQUE INDEX job_change_once ON job (document_id, kind, revision) WHERE kind <> 'process'"
    )
    op.execute("CREATE INDEX job_queued ON job (stage, urgent DESC, lane, id) WHERE status = 'queued'")
    op.execute("CREATE INDEX job_leased ON job (lease_until) WHERE status = 'processing'")
    op.execute("CREATE INDEX job_holder ON job (holder) WHERE status = 'processing'")
    op.execute("CREATE INDEX job_waiting ON job (ready_at) WHERE status = 'retry_wait'")
    op.execute("CREATE INDEX job_open ON job (status, stage, lane, created_at) WHERE finished_at IS NULL")
    op.execute(
        "CREATE INDEX job_finished ON job (finished_at)"
        " INCLUDE (status, kind, started_at) WHERE finished_at IS NOT NULL"
    )
    op.execute("CREATE INDEX job_stopped ON job (status, id) WHERE status IN ('rejected', 'quarantined')")
    op.execute(
        "CREATE TABLE claiming"
        " (singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), paused boolean NOT NULL)"
    )
    op.execute("INSERT INTO claiming (paused) VALUES (false)")
    op.execute(
        """
        CREATE TABLE worker (
            name text PRIMARY KEY,
            pool text NOT NULL,
            release text NOT NULL,
            state text NOT NULL CHECK (state IN ('starting', 'running', 'draining', 'stopped', 'died')),
            pid int,
            node text,
            started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            ended_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX worker_ended ON worker (ended_at)")
    op.execute(
        """
        CREATE TABLE scaling_decision (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            pool text NOT NULL,
            delta int NOT NULL,
            workers int NOT NULL,
            backlog bigint NOT NULL,
            reason text NOT NULL,
            decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )
        """
    )
    op.execute("CREATE INDEX scaling_decision_age ON scaling_decision (decided_at)")
    op.execute(
        "CREATE TABLE supervision (single boolean PRIMARY KEY DEFAULT true"
        " CHECK (single), leader text, seen_at timestamptz)"
    )
    op.execute("INSERT INTO supervision DEFAULT VALUES")
    for statement in event_tables.first("medsearch_processing"):
        op.execute(statement)
    op.execute("GRANT USAGE ON SEQUENCE job_sequence TO medsearch_processing")
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON job, worker, scaling_decision TO medsearch_processing"
    )
    op.execute("GRANT SELECT, UPDATE ON claiming, supervision TO medsearch_processing")

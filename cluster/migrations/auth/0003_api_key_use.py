"""The day an API key was last used, noted by its reader: one function, so that the role still writes nothing else."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
    CREATE FUNCTION api.note_api_key_use(used text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
        UPDATE api_key SET last_used_on = (now() AT TIME ZONE 'UTC')::date
        WHERE prefix = used AND last_used_on IS DISTINCT FROM (now() AT TIME ZONE 'UTC')::date
    $$
    """,
    "REVOKE ALL ON FUNCTION api.note_api_key_use(text) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION api.note_api_key_use(text) TO medsearch_api_key_reader",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

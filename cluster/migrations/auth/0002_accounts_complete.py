"""Mail, verification and recovery, second factors, API keys, logins elsewhere, break-glass; the views of both.

The views give all principals of an account: which of them count for its role stands in the access policy, and
is decided where the caller is made.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

ROLE = "medsearch_auth"

PRINCIPALS = """
    ARRAY['user:' || a.id, 'role:' || a.role]
    || ARRAY(SELECT 'department:' || d.department FROM account_department d WHERE d.account_id = a.id)
    || ARRAY(SELECT 'self:' || o.patient FROM own_record o WHERE o.account_id = a.id)
    || ARRAY(SELECT DISTINCT 'treating:' || t.patient FROM treatment_relation t
             WHERE t.account_id = a.id AND t.starts_at <= now() AND t.ends_at > now())
"""

STATEMENTS = (
    """
    ALTER TABLE account
        ADD COLUMN pending_email text,
        ADD COLUMN pending_email_key text,
        ADD COLUMN requested_at timestamptz,
        ADD CHECK (num_nulls(pending_email, pending_email_key) IN (0, 2))
    """,
    "COMMENT ON COLUMN account.pending_email IS 'counts once its link was used; until then email does'",
    "UPDATE account SET requested_at = created_at WHERE requested_role IS NOT NULL",
    "CREATE INDEX account_status ON account (status, id)",
    "CREATE INDEX account_role ON account (role, id)",
    "CREATE INDEX account_requested ON account (requested_role, id) WHERE requested_role IS NOT NULL",
    "CREATE INDEX account_department_members ON account_department (department, account_id)",
    "CREATE INDEX treatment_relation_patient ON treatment_relation (patient, ends_at)",
    """
    ALTER TABLE session
        ADD COLUMN user_agent text,
        ADD COLUMN method text NOT NULL DEFAULT 'password' CHECK (method IN ('password', 'oidc')),
        ADD COLUMN mfa boolean NOT NULL DEFAULT false,
        ADD COLUMN restriction text CHECK (restriction IN ('mfa'))
    """,
    "COMMENT ON COLUMN session.restriction IS 'mfa: a second factor must be set up before anything else'",
    """
    CREATE TABLE email_token (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        purpose text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
        token_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
        key_name text NOT NULL,
        address_key text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        used_at timestamptz
    )
    """,
    "COMMENT ON COLUMN email_token.key_name IS 'key that the token is made with, again for each attempt to mail it'",
    "COMMENT ON COLUMN email_token.address_key IS 'the address that it was made for: with another one it is void'",
    "CREATE INDEX email_token_account ON email_token (account_id, purpose, created_at)",
    "CREATE INDEX email_token_expiry ON email_token (expires_at)",
    """
    CREATE TABLE mail (
        id uuid PRIMARY KEY,
        account_id uuid REFERENCES account ON DELETE CASCADE,
        address text,
        template text NOT NULL,
        parameters jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        attempts int NOT NULL DEFAULT 0,
        sent_at timestamptz,
        failed_at timestamptz,
        reason text,
        CHECK (num_nonnulls(sent_at, failed_at) <= 1)
    )
    """,
    "COMMENT ON COLUMN mail.account_id IS 'null: nobody has that address; the row is dropped where it would be sent'",
    "COMMENT ON COLUMN mail.address IS 'null: the address that the account has when the mail is sent'",
    "CREATE INDEX mail_waiting ON mail (next_at, id) WHERE sent_at IS NULL AND failed_at IS NULL",
    "CREATE INDEX mail_done ON mail (created_at) WHERE sent_at IS NOT NULL OR failed_at IS NOT NULL",
    "CREATE INDEX mail_account ON mail (account_id)",
    """
    CREATE TABLE totp (
        account_id uuid PRIMARY KEY REFERENCES account ON DELETE CASCADE,
        sealed bytea NOT NULL,
        nonce bytea NOT NULL,
        key_name text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        confirmed_at timestamptz,
        last_step bigint
    )
    """,
    "COMMENT ON COLUMN totp.last_step IS 'time step of the last code that was taken: it and earlier ones are used up'",
    """
    CREATE TABLE recovery_code (
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        code_sha256 bytea NOT NULL CHECK (octet_length(code_sha256) = 32),
        created_at timestamptz NOT NULL DEFAULT now(),
        used_at timestamptz,
        PRIMARY KEY (account_id, code_sha256)
    )
    """,
    """
    CREATE TABLE api_key (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        name text NOT NULL,
        prefix text NOT NULL UNIQUE,
        secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
        scopes text[] NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        last_used_on date,
        CHECK (expires_at > created_at)
    )
    """,
    "CREATE INDEX api_key_account ON api_key (account_id, id)",
    """
    CREATE TABLE oidc_identity (
        issuer text NOT NULL,
        subject text NOT NULL,
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        linked_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (issuer, subject)
    )
    """,
    "CREATE INDEX oidc_identity_account ON oidc_identity (account_id)",
    """
    CREATE TABLE break_glass (
        id uuid PRIMARY KEY,
        account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
        session_id uuid NOT NULL REFERENCES session ON DELETE CASCADE,
        patient text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(),
        ends_at timestamptz NOT NULL,
        ended_at timestamptz,
        CHECK (ends_at > started_at AND ends_at <= started_at + interval '60 minutes')
    )
    """,
    "COMMENT ON TABLE break_glass IS 'the reason stands in the audit trail alone, sealed'",
    "COMMENT ON COLUMN break_glass.ended_at IS 'set also when the time ran out, by whoever records the end'",
    "CREATE UNIQUE INDEX break_glass_open ON break_glass (account_id) WHERE ended_at IS NULL",
    "CREATE INDEX break_glass_session ON break_glass (session_id, ends_at)",
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
    """,
    "CREATE INDEX idempotency_age ON idempotency (created_at)",
    f"GRANT SELECT, INSERT, UPDATE ON api_key, break_glass TO {ROLE}",
    f"GRANT SELECT, INSERT, DELETE ON oidc_identity TO {ROLE}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON email_token, mail, totp, recovery_code, idempotency TO {ROLE}",
    f"""
    CREATE OR REPLACE VIEW api.session_state AS
    SELECT s.id AS sid,
           s.revoked_at IS NULL AND s.expires_at > now() AND a.status = 'active' AS active,
           a.token_version,
           {PRINCIPALS}
           || ARRAY(SELECT 'breakglass:' || b.patient FROM break_glass b
                    WHERE b.session_id = s.id AND b.ended_at IS NULL AND b.ends_at > now()) AS principals,
           s.restriction
    FROM session s JOIN account a ON a.id = s.account_id
    """,  # noqa: S608 - text of ours
    f"""
    CREATE VIEW api.api_key_state AS
    SELECT k.prefix,
           k.secret_sha256,
           k.revoked_at IS NULL AND k.expires_at > now() AND a.status = 'active' AS active,
           k.scopes,
           {PRINCIPALS} AS principals
    FROM api_key k JOIN account a ON a.id = k.account_id
    """,  # noqa: S608 - text of ours
    "GRANT USAGE ON SCHEMA api TO medsearch_api_key_reader",
    "GRANT SELECT ON api.api_key_state TO medsearch_api_key_reader",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

"""The audit trail: rows can be added and nothing else, secret fields are sealed, failure is closed."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from config.secrets import SecretStore
from config.settings import Settings
from domain.audit import AuditEvent
from domain.errors import Unavailable
from domain.ids import new_id
from stores import outbox
from stores.audit import PostgresAudit, opened
from stores.keyring import SecretKeys
from stores.ports import AuditEntry, SealBroken, Sealed
from stores.postgres import Postgres

DOCUMENTS = (new_id(), new_id())


def entry(**changes: object) -> AuditEntry:
    values = {
        "action": "R",
        "event": AuditEvent.SEARCH_PERFORMED,
        "outcome": "success",
        "actor": "user:1",
        "role": "doctor",
        "patient": "LAB|7",
        "document_ids": DOCUMENTS,
        "request_id": str(new_id()),
        "query": "pneumonia Smith\x00\ud800",
        "names": {"title": "Letter about Smith"},
    }
    return AuditEntry(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
async def audit(settings: Settings, secrets: SecretStore) -> AsyncIterator[PostgresAudit]:
    trail = PostgresAudit.of(settings, secrets)
    yield trail
    await trail.close()


@pytest.fixture
async def owner(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "audit", "owner")
    yield db
    await db.close()


async def stored(owner: Postgres, request_id: str) -> list[asyncpg.Record]:
    async with owner.connection() as connection:
        return await connection.fetch("SELECT * FROM audit_record WHERE request_id = $1", request_id)


async def test_au3_a_record_is_stored_with_its_secret_fields_sealed(
    audit: PostgresAudit, owner: Postgres, settings: Settings, secrets: SecretStore, tmp_path: Path
) -> None:
    given = entry()
    await audit.record(given)
    (row,) = await stored(owner, given.request_id)
    plain = {
        "actor": "user:1",
        "patient": "LAB|7",
        "event": "search.performed",
        "document_ids": list(DOCUMENTS),
    }
    assert {name: row[name] for name in plain} == plain
    assert "Smith" not in str(dict(row))
    keys = SecretKeys.of(settings, secrets)
    sealed = Sealed(row["sealed"], row["nonce"], row["key_name"])
    assert sealed.key_name == "audit-field-key"
    assert opened(keys, row["id"], sealed) == ("pneumonia Smith\x00\ud800", {"title": "Letter about Smith"})
    with pytest.raises(SealBroken):
        opened(keys, new_id(), sealed)
    others = SecretKeys.of(Settings(data_dir=tmp_path), SecretStore(tmp_path))
    with pytest.raises(SealBroken):
        opened(others, row["id"], sealed)


async def test_patients_are_those_of_the_act_and_of_what_was_shown(
    audit: PostgresAudit, owner: Postgres
) -> None:
    given = entry(patients=("LAB|9", "LAB|7", "LAB|9"))
    await audit.record(given)
    (row,) = await stored(owner, given.request_id)
    assert (row["patient"], row["patients"]) == ("LAB|7", ["LAB|7", "LAB|9"])


async def test_an_outbox_row_of_an_older_version_is_taken(audit: PostgresAudit, owner: Postgres) -> None:
    given = entry()
    body = audit.seal(given)
    del body["patients"]
    await audit.insert_sealed(UUID(body["id"]), body)
    (row,) = await stored(owner, given.request_id)
    assert row["patients"] == ["LAB|7"]


ROLES = {
    "audit-reader": {("audit_record", "SELECT"), ("audit_link", "SELECT"), ("audit_head", "SELECT")},
    "audit-sealer": {
        ("audit_record", "SELECT"),
        *((table, act) for table in ("audit_link", "audit_head") for act in ("SELECT", "INSERT")),
    },
    "audit": {("audit_record", "INSERT")},
}


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_its_own_and_nothing_else(
    settings: Settings, secrets: SecretStore, role: str
) -> None:
    db = Postgres.of(settings, secrets, "audit", role)
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT c.relname, act FROM pg_class c,
                   unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) act
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
              AND has_table_privilege(c.oid, act)
            """
        )
    await db.close()
    assert {(row["relname"], row["act"]) for row in rows} == ROLES[role]


async def test_rows_carry_their_transaction(audit: PostgresAudit, owner: Postgres) -> None:
    first, second = entry(), entry()
    await audit.record(first)
    await audit.record(second)
    rows = [(await stored(owner, given.request_id))[0] for given in (first, second)]
    assert int(rows[0]["transaction_id"]) < int(rows[1]["transaction_id"])
    assert rows[0]["position"] < rows[1]["position"]


async def test_one_document_is_listed_once_and_first(audit: PostgresAudit, owner: Postgres) -> None:
    given = entry(document_id=DOCUMENTS[1], version=2, query=None, names={})
    await audit.record(given)
    (row,) = await stored(owner, given.request_id)
    assert row["document_ids"] == [DOCUMENTS[1], DOCUMENTS[0]]
    assert (row["version"], row["sealed"], row["nonce"], row["key_name"]) == (2, None, None, None)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM audit_record",
        "SELECT count(*) FROM audit_record",
        "UPDATE audit_record SET actor = 'user:2'",
        "DELETE FROM audit_record",
        "TRUNCATE audit_record",
        "DROP TABLE audit_record",
        "ALTER TABLE audit_record ADD COLUMN x int",
        "CREATE TABLE mine (x int)",
        "SET ROLE medsearch_owner",
    ],
)
async def test_au1_the_application_can_do_nothing_but_insert(audit: PostgresAudit, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with audit.db.connection() as connection:
            await connection.execute(statement)


async def test_the_outbox_way_inserts_once(
    audit: PostgresAudit, owner: Postgres, settings: Settings, secrets: SecretStore
) -> None:
    given = entry(event=AuditEvent.DOCUMENT_DELETE, action="D")
    sealed = audit.seal(given)
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await outbox.publish_audit(connection, sealed)
        row = await connection.fetchrow("SELECT * FROM outbox WHERE id = $1", UUID(sealed["id"]))
        assert row is not None
        assert await stored(owner, given.request_id) == []
        assert "Smith" not in str(row["body"])
        await connection.execute("DELETE FROM outbox WHERE id = $1", row["id"])
    await db.close()
    for _ in range(3):
        await audit.insert_sealed(row["id"], row["body"])
    (kept,) = await stored(owner, given.request_id)
    assert (kept["id"], kept["at"].isoformat()) == (UUID(sealed["id"]), sealed["at"])
    assert kept["sealed"] == b64decode(sealed["sealed"]["ciphertext"])


async def test_a_trail_that_cannot_be_written_says_so(secrets: SecretStore, tmp_path: Path) -> None:
    trail = PostgresAudit.of(Settings(data_dir=tmp_path), secrets)
    with pytest.raises(Unavailable):
        await trail.record(entry())
    await trail.close()

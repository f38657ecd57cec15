"""A platform with accounts and a trail of the first version: its databases come up to date, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from cluster import databases
from domain.ids import new_id
from stores.postgres import connect, database
from tests.servers import Servers, running_servers

ACCOUNT, SESSION = new_id(), new_id()
RECORDS = [(new_id(), patient) for patient in ("LAB|7", None, "LAB|9")]


@pytest.fixture(scope="module")
def first_version() -> Iterator[Servers]:
    with running_servers({"auth": "0001", "audit": "0001", "processing": "0001"}) as servers:
        yield servers


async def fill(auth: asyncpg.Connection, audit: asyncpg.Connection) -> None:
    await auth.execute(
        """
        INSERT INTO account (id, email, email_key, username, username_key, first_name, last_name, role,
                             requested_role)
        VALUES ($1, 'a@x.example', 'a@x.example', 'ada', 'ada', 'Ada', 'L', 'patient', 'doctor')
        """,
        ACCOUNT,
    )
    ends = datetime.now(UTC) + timedelta(hours=1)
    await auth.execute(
        "INSERT INTO session (id, account_id, expires_at, address) VALUES ($1, $2, $3, '192.0.2.1')",
        *(SESSION, ACCOUNT, ends),
    )
    await auth.execute("INSERT INTO own_record (account_id, patient) VALUES ($1, 'LAB|7')", ACCOUNT)
    for record_id, patient in RECORDS:
        await audit.execute(
            """
            INSERT INTO audit_record (id, at, action, event, outcome, actor, role, patient, document_ids,
                                      request_id)
            VALUES ($1, now(), 'R', 'document.view', 'success', 'user:1', 'doctor', $2, '{}', '')
            """,
            *(record_id, patient),
        )


async def test_filled_databases_of_the_first_version_come_up_to_date(first_version: Servers) -> None:
    settings, secrets = first_version.settings, first_version.secrets
    auth = await connect(database(settings, "auth", databases.OWNER), secrets)
    audit = await connect(database(settings, "audit", databases.OWNER), secrets)
    await fill(auth, audit)
    for service in ("auth", "audit"):
        for _ in range(2):  # and again without harm
            await databases.migrate(settings, secrets, service)
    patients: dict[UUID, list[str]] = dict(await audit.fetch("SELECT id, patients FROM audit_record"))
    assert patients == {record_id: [patient] if patient else [] for record_id, patient in RECORDS}
    account = await auth.fetchrow("SELECT requested_at = created_at AS dated, pending_email FROM account")
    assert dict(account) == {"dated": True, "pending_email": None}
    await auth.close()
    await audit.close()
    reader = await connect(database(settings, "auth", "session-reader"), secrets)
    state = await reader.fetchrow("SELECT * FROM api.session_state WHERE sid = $1", SESSION)
    assert (state["active"], state["restriction"]) == (True, None)
    assert set(state["principals"]) == {f"user:{ACCOUNT}", "role:patient", "self:LAB|7"}
    await reader.close()


async def test_the_index_of_before_is_the_first_generation_and_holds_what_was_indexed(
    first_version: Servers,
) -> None:
    settings, secrets = first_version.settings, first_version.secrets
    processing = await connect(database(settings, "processing", databases.OWNER), secrets)
    jobs = {kind: new_id() for kind in ("indexed", "queued", "update")}
    for name, document_id in jobs.items():
        await processing.execute(
            """
            INSERT INTO job (id, document_id, version, revision, kind, lane, status, stage, blob_key, request_id,
                             sequence, artefacts, finished_at)
            VALUES ($1, $2, 3, 1, $3, 'online', $4, $5, '', '', 1, '{"embed": "artefacts/x"}', $6)
            """,
            new_id(),
            document_id,
            "update" if name == "update" else "process",
            "indexed" if name == "indexed" else "queued",
            None if name == "indexed" else "index",
            datetime.now(UTC) if name == "indexed" else None,
        )
    for _ in range(2):
        await databases.migrate(settings, secrets, "processing")
    held = await processing.fetch("SELECT * FROM generation_document")
    assert [tuple(row) for row in held] == [("g1", jobs["indexed"], 3, "artefacts/x")]
    urgent = dict(await processing.fetch("SELECT document_id, urgent FROM job"))
    assert urgent == {jobs["indexed"]: False, jobs["queued"]: False, jobs["update"]: True}
    await processing.close()

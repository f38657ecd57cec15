"""One bulk load on the configured servers: who acts, for whom, with what, and what is audited."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.ingest.documents import PERMISSION, BulkDocuments, BulkRights, Plan
from cluster.ingest.listing import PatientFrom, list_folder
from cluster.ingest.load import BulkLoad, Tempo
from cluster.ingest.report import as_json, closing_lines
from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.provisioning import FoundAccount, Provisioning
from deployments.documents.lookup import DocumentLookup
from deployments.documents.uploads import Uploads
from deployments.edge.context import CURRENT, RequestContext
from domain.access import Caller
from domain.audit import AuditEvent
from domain.documents import DocumentType
from domain.errors import Forbidden, Invalid, NotFound
from domain.ids import new_id
from stores.audit import PostgresAudit
from stores.blobs import DiskBlobs
from stores.bulk import BulkReader
from stores.documents import DocumentStore
from stores.ports import AuditEntry
from stores.postgres import Postgres

USERNAME = "bulk-ingest"
ROLE = "service"


@dataclass(frozen=True, slots=True)
class Order:
    """What the operator asks for."""

    folder: Path
    owner: str
    department: str | None = None
    document_type: DocumentType | None = None
    patient_from: PatientFrom = PatientFrom.NONE
    patient_system: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a load: the report for machines, and whether anything failed."""

    report: dict[str, Any]
    failed: bool


async def carry_out(
    settings: Settings,
    secrets: SecretStore,
    order: Order,
    write: Callable[[str], None],
    *,
    tempo: Tempo = Tempo(),  # noqa: B008 - frozen
) -> Result:
    """Load the folder and wait until its documents have settled; `write` gets every line for the operator.

    Raises `NotFound` or `Forbidden` for the owner, `Invalid` for the folder, and what `BulkLoad.run` raises.
    """
    if order.patient_from is PatientFrom.FOLDER and not order.patient_system:
        raise Invalid("--patient-from folder needs --patient-system, the system that issued the numbers.")
    async with AsyncExitStack() as stack:
        provisioning = Provisioning.of(settings, secrets)
        stack.push_async_callback(provisioning.close)
        audit = PostgresAudit.of(settings, secrets)
        stack.push_async_callback(audit.close)
        db = Postgres.of(settings, secrets, "document")
        stack.push_async_callback(db.close)

        policy = AccessPolicy.load()
        owner = await _owner(provisioning, policy, order.owner)
        caller = await _service(provisioning, policy)
        CURRENT.set(RequestContext(request_id=f"bulk-{new_id()}"))
        await audit.record(_entry(caller, owner, order))
        store = DocumentStore(db)
        lookup = DocumentLookup(store, BulkRights(policy, owner.id), audit)
        uploads = Uploads(
            store, DiskBlobs(settings.blobs_path), audit, lookup, limit=settings.http.body_limit_bytes
        )
        documents = BulkDocuments(uploads, BulkReader(db), caller, _plan(order, owner))
        return await _load(documents, order.folder, write, tempo)


async def _load(documents: BulkDocuments, folder: Path, write: Callable[[str], None], tempo: Tempo) -> Result:
    began = time.monotonic()
    listing = list_folder(folder)
    write(f"{len(listing.files)} files found, {tempo.at_once} are read at once.")
    ledger = await BulkLoad(documents, write, tempo).run(listing, folder.resolve())
    seconds = time.monotonic() - began
    for line in closing_lines(ledger, listing.skipped, seconds):
        write(line)
    return Result(as_json(ledger, listing.skipped, seconds), failed=bool(ledger.failed))


async def _owner(provisioning: Provisioning, policy: AccessPolicy, username: str) -> FoundAccount:
    account = await provisioning.find_account(username)
    if account is None:
        raise NotFound(f"There is no account '{username}'. --owner takes a user name, not an address.")
    if account.status != "active" or policy.scope(account.role, "document.upload") != "all":
        raise Forbidden(
            f"The account '{username}' cannot own documents: it is not active, or its role may not upload."
        )
    return account


async def _service(provisioning: Provisioning, policy: AccessPolicy) -> Caller:
    """The identity that the load acts as. One permission, no principals, and nobody can log in to it."""
    account_id = await provisioning.create_account(
        email=f"{USERNAME}@medsearch",
        username=USERNAME,
        password=None,
        first_name="Bulk",
        last_name="load",
        role=ROLE,
        kind="service",
    )
    if not policy.allows(ROLE, PERMISSION):
        raise Forbidden(f"The access policy does not give '{PERMISSION}' to the role '{ROLE}'.")
    return Caller(str(account_id), ROLE, frozenset())


def _plan(order: Order, owner: FoundAccount) -> Plan:
    return Plan(
        root=order.folder.resolve(),
        owner_id=owner.id,
        department=order.department,
        document_type=order.document_type,
        patient_from=order.patient_from,
        patient_system=order.patient_system,
    )


def _entry(caller: Caller, owner: FoundAccount, order: Order) -> AuditEntry:
    return AuditEntry(
        action="E",
        event=AuditEvent.BULK_INGEST,
        outcome="success",
        actor=f"user:{caller.user_id}",
        role=caller.role,
        on_behalf_of=f"user:{owner.id}",
        request_id=CURRENT.get().request_id,
        names={"folder": str(order.folder)},
    )

"""The audit trail: written by everybody, read by few."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

from domain.audit import AuditEvent


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audited act. `query` and `names` are encrypted at field level before they are stored."""

    action: str
    """C R U D E."""
    event: AuditEvent
    outcome: str
    """success, denied or failure."""
    actor: str
    """`user:ID`, `anonymous`, or `operator` (the command line on the server)."""
    role: str = ""
    on_behalf_of: str | None = None
    patient: str | None = None
    """The patient that the act was about."""
    patients: tuple[str, ...] = ()
    """Patients of the documents that were shown (a search, a list); stored together with `patient`."""
    document_id: UUID | None = None
    version: int | None = None
    document_ids: tuple[UUID, ...] = ()
    reason: str | None = None
    purpose: str | None = None
    address: str | None = None
    request_id: str = ""
    session_id: str | None = None
    query: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


class AuditLog(Protocol):
    """Append-only; a read of PHI waits for this and fails closed."""

    async def record(self, entry: AuditEntry) -> None:
        """Store the entry durably, now."""
        ...

    def seal(self, entry: AuditEntry) -> dict[str, Any]:
        """The entry, secret fields encrypted, for `stores.outbox.publish_audit` in a change's transaction."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class AuditQuestion:
    """Conditions on records; all must hold. `since` is included, `before` is not."""

    patient: str | None = None
    document_id: UUID | None = None
    actor: str | None = None
    event: AuditEvent | None = None
    action: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A stored entry; `patients` of the entry include its `patient`, `document_ids` its `document_id`."""

    id: UUID
    position: int
    at: datetime
    entry: AuditEntry
    readable: bool = True
    """False: the key of query and names is gone; both are empty."""


@dataclass(frozen=True, slots=True)
class PatientReader:
    """Who saw a patient: one actor in one role, with first and last time, and how often."""

    actor: str
    role: str
    first_at: datetime
    last_at: datetime
    count: int
    break_glass: bool


@dataclass(frozen=True, slots=True)
class AuditFigure:
    """How many records of one kind a day (UTC) has."""

    day: date
    event: str
    outcome: str
    count: int


class AuditReader(Protocol):
    """Reads the trail, in a role that can do nothing else. Who reads is recorded by the caller, before."""

    async def page(
        self, question: AuditQuestion, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[AuditRecord]:
        """Newest first; `after` is `(at, id)` of the last record of the page before."""
        ...

    def stream(self, question: AuditQuestion) -> AsyncIterator[AuditRecord]:
        """All of them, oldest first, as of one moment."""
        ...

    async def readers(
        self, patient: str, *, since: datetime | None, before: datetime | None
    ) -> list[PatientReader]:
        """Who saw or changed something of the patient, the last first."""
        ...

    async def figures(self, *, since: datetime, before: datetime) -> list[AuditFigure]: ...

    async def close(self) -> None: ...

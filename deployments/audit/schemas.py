"""The wire shapes of `/api/v1/audit`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from deployments.documents.schemas import Patient
from deployments.edge.schemas import Moment, StrictModel
from domain.audit import AuditEvent
from stores.audit_heads import Head
from stores.ports import AuditQuestion, AuditRecord

Actor = Annotated[
    str,
    Field(
        max_length=41,
        pattern=r"^(user:[0-9a-f-]{36}|anonymous|operator|system)$",
        description="Who acted: `user:ID`, `anonymous`, `operator` or `system`.",
    ),
]


class PeriodParameters(StrictModel):
    """A time span: `from` is included, `to` is not."""

    from_: Moment | None = Field(None, alias="from", description="From this moment on.")
    to: Moment | None = Field(None, description="Before this moment.")


class PatientParameters(PeriodParameters):
    """One patient, in a time span."""

    patient: Patient


class QuestionParameters(PeriodParameters):
    """Conditions on records; all must hold."""

    patient: Patient | None = Field(None, description="About this patient, or showing documents of theirs.")
    document_id: UUID | None = Field(None, description="About this document, or showing it.")
    actor: Actor | None = None
    event: AuditEvent | None = None
    action: Literal["C", "R", "U", "D", "E"] | None = None
    outcome: Literal["success", "denied", "failure"] | None = None

    def question(self) -> AuditQuestion:
        return AuditQuestion(
            patient=self.patient,
            document_id=self.document_id,
            actor=self.actor,
            event=self.event,
            action=self.action,
            outcome=self.outcome,
            since=utc(self.from_),
            before=utc(self.to),
        )


class ListParameters(QuestionParameters):
    """Which records, and which part of them."""

    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=4096, description="`next_cursor` of the page before.")


class OwnParameters(PeriodParameters):
    """Which of the accesses to the own record."""

    patient: Patient | None = Field(None, description="Which record, for an account with several.")
    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=4096, description="`next_cursor` of the page before.")


class HeadParameters(StrictModel):
    """From which day on."""

    from_: date | None = Field(None, alias="from", description="The first day (UTC) of sealing.")


class AuditView(StrictModel):
    """One record of the trail."""

    id: UUID
    at: datetime
    event: str
    action: str = Field(description="Create, read, update, delete, execute: C R U D E.")
    outcome: str
    actor: str
    role: str
    on_behalf_of: str | None
    patient: str | None = Field(description="The patient that the act was about.")
    patients: list[str] = Field(description="That patient, and those of the documents that were shown.")
    document_ids: list[UUID]
    version: int | None
    reason: str | None
    purpose: str | None
    address: str | None
    request_id: str
    session_id: str | None
    query: str | None = Field(description="What was searched for.")
    names: dict[str, str]
    readable: bool = Field(description="False: the key of query and names is gone.")

    @classmethod
    def of(cls, record: AuditRecord) -> AuditView:
        entry = record.entry
        same: dict[str, Any] = {
            name: getattr(entry, name) for name in cls.model_fields if hasattr(entry, name)
        }
        changed = {
            "event": str(entry.event),
            "patients": list(entry.patients),
            "document_ids": list(entry.document_ids),
            "names": dict(entry.names),
        }
        return cls(**same | changed, id=record.id, at=record.at, readable=record.readable)


class OwnAccess(StrictModel):
    """One access to the own record. What it showed of others is not told."""

    at: datetime
    event: str
    action: str
    outcome: str
    actor: str
    role: str
    document_id: UUID | None = Field(description="Null when more than this record was shown.")

    @classmethod
    def of(cls, record: AuditRecord) -> OwnAccess:
        entry = record.entry
        alone = len(entry.patients) == 1 and len(entry.document_ids) == 1
        return cls(
            at=record.at,
            event=str(entry.event),
            action=entry.action,
            outcome=entry.outcome,
            actor=entry.actor,
            role=entry.role,
            document_id=entry.document_ids[0] if alone else None,
        )


class ReaderView(StrictModel):
    """Somebody who saw or changed something of the patient, in one role."""

    actor: str
    role: str
    first_at: datetime
    last_at: datetime
    count: int = Field(description="How often.")
    break_glass: bool = Field(description="Opened the record in an emergency at least once.")


class Readers(StrictModel):
    """Who saw a patient, the last first."""

    patient: str
    items: list[ReaderView]


class Figure(StrictModel):
    """How many records of one kind a day (UTC) has."""

    day: date
    event: str
    outcome: str
    count: int


class Figures(StrictModel):
    """Counts by day, event and outcome."""

    items: list[Figure]


class HeadView(StrictModel):
    """The chain at the end of a day: keep it elsewhere, and `medsearch audit verify --heads` compares it."""

    seq: int = Field(description="The last link that the head covers.")
    day: date
    count: int = Field(description="Links of the day.")
    hash: str
    at: str = Field(description="As it was signed.")
    signature: str = Field(description="Ed25519, in base64.")
    key_name: str = Field(description="`kid` of the key.")

    @classmethod
    def of(cls, head: Head) -> HeadView:
        return cls(**head.exported())


class Heads(StrictModel):
    """Signed heads, one a day, oldest first, and the public keys (JWK) that verify them."""

    items: list[HeadView]
    keys: list[dict[str, Any]]


def utc(at: datetime | None) -> datetime | None:
    return at.astimezone(UTC) if at else None

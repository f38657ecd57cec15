"""Requests and answers of administration and emergency access."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, SecretStr

from deployments.edge.schemas import Line, StrictModel
from stores.account_lists import SeenAccount
from stores.break_glass import Glass
from stores.treatments import Treatment

RequestableRole = Literal["patient", "nurse", "doctor", "researcher", "records_manager"]
PersonRole = Literal[
    "patient",
    "nurse",
    "doctor",
    "researcher",
    "records_manager",
    "privacy_officer",
    "department_admin",
    "admin",
]
Status = Literal["active", "suspended", "closed"]
Patient = Annotated[
    Line,
    Field(
        max_length=129,
        pattern=r"^[^|\s]{1,64}\|[^|\s]([^|]{0,62}[^|\s])?$",
        description="Record number: the issuing system, `|`, the number.",
        examples=["MRN|4711"],
    ),
]
Department = Annotated[Line, Field(min_length=1, max_length=100, examples=["cardiology"])]
Reason = Annotated[
    Line, Field(min_length=1, max_length=500, description="Why; stands in the audit trail, not to patients.")
]
EmergencyReason = Annotated[
    Line,
    Field(
        min_length=10,
        max_length=500,
        description="Why, in 10 characters or more; stands sealed in the audit trail.",
        examples=["Unconscious in the emergency room, allergies unknown"],
    ),
]


class PageParameters(StrictModel):
    """Which part of a list."""

    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=4096, description="`next_cursor` of the page before.")


class AccountParameters(PageParameters):
    """Which accounts."""

    status: Status | None = None
    role: PersonRole | None = None
    requested: RequestableRole | Literal["any"] | None = Field(
        None, description="Asks for this role; `any`: for whichever."
    )
    department: Department | None = None
    q: Annotated[Line, Field(min_length=1, max_length=100)] | None = Field(
        None, description="Part of a name, user name or e-mail address."
    )


class TreatmentParameters(PageParameters):
    """Which treatment relations."""

    account_id: UUID | None = None
    patient: Patient | None = None
    current: bool | None = Field(None, description="Only those that count now, or only those that ended.")


class AccountAnswer(StrictModel):
    """An account as administrators see it."""

    id: UUID
    email: str
    username: str
    first_name: str
    last_name: str
    role: str
    requested_role: str | None
    requested_at: datetime | None
    status: str
    specialty: str | None
    institution: str | None
    departments: list[str]
    own_record: str | None = Field(description="The patient that the person is, if staff have set it.")
    email_verified: bool
    mfa_enabled: bool
    last_login_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, seen: SeenAccount) -> AccountAnswer:
        account = seen.account
        return cls(
            id=account.id,
            email=account.email,
            username=account.username,
            first_name=account.first_name,
            last_name=account.last_name,
            role=account.role,
            requested_role=account.requested_role,
            requested_at=account.requested_at,
            status=account.status,
            specialty=account.specialty,
            institution=account.institution,
            departments=list(seen.departments),
            own_record=seen.own_record,
            email_verified=account.email_verified_at is not None,
            mfa_enabled=seen.mfa_enabled,
            last_login_at=seen.last_login_at,
            created_at=account.created_at,
        )


class Approval(StrictModel):
    role: RequestableRole = Field(description="The role that is asked for; another one is not given.")


class Reasoned(StrictModel):
    reason: Reason


class RoleAssignment(StrictModel):
    role: PersonRole
    reason: Reason


class Departments(StrictModel):
    departments: list[Department] = Field(max_length=50, description="These and no others.")


class OwnRecord(StrictModel):
    patient: Patient


class TreatmentRequest(StrictModel):
    account_id: UUID
    patient: Patient
    ends_at: AwareDatetime = Field(description="Within a year.", examples=["2027-01-31T12:00:00Z"])


class TreatmentAnswer(StrictModel):
    """Somebody treats a patient until `ends_at`. `set_by` is null for the platform itself."""

    id: UUID
    account_id: UUID
    patient: str
    starts_at: datetime
    ends_at: datetime
    set_by: UUID | None

    @classmethod
    def of(cls, treatment: Treatment) -> TreatmentAnswer:
        return cls(
            id=treatment.id,
            account_id=treatment.account_id,
            patient=treatment.patient,
            starts_at=treatment.starts_at,
            ends_at=treatment.ends_at,
            set_by=treatment.set_by,
        )


class BreakGlassRequest(StrictModel):
    patient: Patient
    reason: EmergencyReason
    minutes: int = Field(60, ge=1, le=60, description="How long; it can be ended before.")
    current_password: SecretStr = Field(max_length=1024)


class BreakGlassAnswer(StrictModel):
    """The patient's documents are open, in this session, until `ends_at`."""

    id: UUID
    patient: str
    started_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, glass: Glass) -> BreakGlassAnswer:
        return cls(id=glass.id, patient=glass.patient, started_at=glass.started_at, ends_at=glass.ends_at)


class OpenGlasses(StrictModel):
    """The emergency access that is open now, if there is one."""

    items: list[BreakGlassAnswer]

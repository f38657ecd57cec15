"""The wire shapes of `/api/v1/documents`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from deployments.edge.schemas import Line, StrictModel, Wording
from domain.access import RESEARCHERS, Sensitivity, effective_principals, fixed_access
from domain.documents import DocumentType
from domain.jobs import QUARANTINES, REJECTIONS, Stage
from domain.lifecycle import Status
from domain.text import (
    AssertionLabel,
    Certainty,
    Experiencer,
    Mention,
    MentionType,
    Polarity,
    Temporality,
)
from stores.document_lists import Order
from stores.documents import Document

PREFIX = "/api/v1/documents"
MAX_PAGE = 1_000_000

Patient = Annotated[
    Line,
    Field(
        max_length=129,
        pattern=r"^[^|\s]{1,64}\|[^|\s]([^|]{0,62}[^|\s])?$",
        description="Record number: the issuing system, `|`, the number.",
        examples=["MRN|4711"],
    ),
]
Name = Annotated[Line, Field(min_length=1, max_length=100)]
Filename = Annotated[
    str, Field(max_length=4096, description="Only the last part counts, without anything that misleads.")
]
Title = Annotated[Wording, Field(min_length=1, max_length=500, description="Default: from the file name.")]


Principal = Annotated[Line, Field(min_length=3, max_length=200, examples=["department:cardiology"])]
GrantablePrincipal = Annotated[
    Line,
    Field(
        max_length=120,
        pattern=r"^(user:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|department:\S([^\r\n]{0,98}\S)?)$",
        description="`user:ID` or `department:NAME`; everything else is set by what the document is.",
        examples=["department:cardiology"],
    ),
]


class VersionParameters(StrictModel):
    """What may be said about a new version; what is not said stays as it was."""

    filename: Filename | None = None
    title: Title | None = None
    document_type: DocumentType | None = None
    document_date: date | None = Field(None, description="The day the document speaks of.")


class UploadParameters(VersionParameters):
    """What may be said about a new document."""

    patient: Patient | None = None
    department: Name | None = Field(None, description="Without a patient its members may read the document.")
    sensitivity: Sensitivity = Sensitivity.NORMAL
    owner_id: UUID | None = Field(None, description="Upload for somebody else (records managers).")


class Receipt(StrictModel):
    """Where the uploaded bytes stand."""

    id: UUID
    version: int
    revision: int
    status: Status
    status_url: str
    sha256: str
    bytes: int
    duplicate: bool = Field(description="The same bytes were there before; nothing was added.")

    @classmethod
    def of(cls, document: Document, *, duplicate: bool) -> Receipt:
        return cls(
            id=document.id,
            version=document.version,
            revision=document.revision,
            status=document.state.status,
            status_url=f"{PREFIX}/{document.id}/status",
            sha256=document.content.sha256,
            bytes=document.content.size,
            duplicate=duplicate,
        )


class Reason(StrictModel):
    """Why a document did not get on, for the person who uploaded it."""

    code: str = Field(examples=["encrypted"])
    message: str
    action: str


class StatusView(StrictModel):
    """How far the processing of the current version is."""

    id: UUID
    version: int
    revision: int
    status: Status
    stage: Stage | None = None
    progress: float = Field(ge=0, le=1)
    eta_seconds: int | None = Field(None, ge=0, description="Null when it is not known.")
    failures: int
    reason: Reason | None = None
    updated_at: datetime

    @classmethod
    def of(cls, document: Document) -> StatusView:
        return cls(**_standing(document))


class DocumentView(StatusView):
    """A document in its current version."""

    filename: str
    media_type: str | None
    bytes: int
    sha256: str
    title: str
    document_type: DocumentType
    document_date: date | None
    patient: str | None
    owner_id: UUID
    department: str | None
    sensitivity: Sensitivity
    access: list[str]
    pages: int | None
    unreadable_pages: list[int]
    warnings: list[str]
    created_at: datetime

    @classmethod
    def of(cls, document: Document) -> DocumentView:
        metadata, content = document.metadata, document.content
        return cls(
            **_standing(document),
            filename=metadata.filename,
            media_type=content.media_type,
            bytes=content.size,
            sha256=content.sha256,
            title=metadata.title,
            document_type=DocumentType(metadata.document_type),
            document_date=metadata.document_date,
            patient=metadata.patient,
            owner_id=document.owner_id,
            department=metadata.department,
            sensitivity=document.access.sensitivity,
            access=sorted(document.access.principals),
            pages=document.pages,
            unreadable_pages=list(document.unreadable_pages),
            warnings=list(document.warnings),
            created_at=document.created_at,
        )


class Deletion(StrictModel):
    """The document is gone for everybody; its last traces are being removed."""

    id: UUID
    revision: int
    status: Status


class Grant(StrictModel):
    """Whom to let read the document."""

    principal: GrantablePrincipal


class SensitivityChange(StrictModel):
    """How far the access list reaches, and why that is right."""

    sensitivity: Sensitivity
    reason: Annotated[Line, Field(min_length=1, max_length=500)]


class Listed(StrictModel):
    """One entry of an access list."""

    principal: str
    fixed: bool = Field(description="Belongs to the document itself and cannot be removed.")
    effective: bool = Field(description="Opens the document in its present sensitivity.")


class AccessView(StrictModel):
    """Who may read a document."""

    document_id: UUID
    revision: int
    sensitivity: Sensitivity
    items: list[Listed]

    @classmethod
    def of(cls, document: Document) -> AccessView:
        fixed = fixed_access(str(document.owner_id), document.metadata.patient)
        opening = effective_principals(document.access)
        listed = document.access.principals | opening
        return cls(
            document_id=document.id,
            revision=document.revision,
            sensitivity=document.access.sensitivity,
            items=[
                Listed(principal=one, fixed=one in fixed or one == RESEARCHERS, effective=one in opening)
                for one in sorted(listed, key=lambda one: (one not in fixed, one))
            ],
        )


class PageText(StrictModel):
    """The stored text of one page: what all offsets refer to."""

    document_id: UUID
    version: int
    page: int
    pages: int
    readable: bool
    text: str


class CueView(StrictModel):
    """The words that decided an assertion."""

    start: int
    end: int
    text: str


class Entity(StrictModel):
    """One mention; offsets are code points in the page's text, half-open."""

    page: int
    start: int
    end: int
    text: str
    type: MentionType
    concept: str | None
    label: str | None
    codes: list[str]
    assertion: AssertionLabel
    polarity: Polarity
    certainty: Certainty
    temporality: Temporality
    experiencer: Experiencer
    """The axes, of which `assertion` names one: what is historical may be negated too."""
    cue: CueView | None
    section: str | None

    @classmethod
    def of(cls, mention: Mention) -> Entity:
        said = mention.assertion
        cue = said.cue
        return cls(
            page=mention.page,
            start=mention.start,
            end=mention.end,
            text=mention.text,
            type=mention.type,
            concept=mention.concept.code if mention.concept else None,
            label=mention.concept.label if mention.concept else None,
            codes=[concept.code for concept in mention.concepts],
            assertion=said.label,
            polarity=said.polarity,
            certainty=said.certainty,
            temporality=said.temporality,
            experiencer=said.experiencer,
            cue=CueView(start=cue.start, end=cue.end, text=cue.text) if cue else None,
            section=mention.section,
        )


class PageParameters(StrictModel):
    """Which part of a list."""

    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=4096, description="`next_cursor` of the page before.")


class ListParameters(PageParameters):
    """Which documents, in which order; a condition given several times is met by any of its values."""

    status: list[Status] = Field([], max_length=20)
    document_type: list[DocumentType] = Field([], max_length=20)
    department: list[Name] = Field([], max_length=20)
    patient: Patient | None = None
    owner: Literal["me"] | None = Field(None, description="`me`: only own documents.")
    sort: Order = Order.NEWEST


class EntityParameters(PageParameters):
    """Which mentions."""

    page: int | None = Field(None, ge=1, le=MAX_PAGE, description="Only those on this page.")


def _standing(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "version": document.version,
        "revision": document.revision,
        "status": document.state.status,
        "stage": document.state.stage,
        "progress": document.progress,
        "eta_seconds": _eta(document),
        "failures": document.failures,
        "reason": _reason(document.reason_code),
        "updated_at": document.updated_at,
    }


def _eta(document: Document) -> int | None:
    if document.eta_at is None or document.state.status.terminal:
        return None
    return max(0, round((document.eta_at - datetime.now(UTC)).total_seconds()))


def _reason(code: str | None) -> Reason | None:
    if code is None:
        return None
    message, action = (REJECTIONS | QUARANTINES).get(
        code,
        ("The document could not be processed.", "Tell an administrator the code and the document's id."),
    )
    return Reason(code=code, message=message, action=action)

"""What a document is, as other services see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from domain.access import Access, Sensitivity


class DocumentType(StrEnum):
    DISCHARGE_SUMMARY = "discharge_summary"
    RADIOLOGY = "radiology"
    LABORATORY = "laboratory"
    REFERRAL = "referral"
    OPERATIVE = "operative"
    CLINIC_NOTE = "clinic_note"
    ARTICLE = "article"
    GUIDELINE = "guideline"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class DocumentState:
    """A row of the published view `document_db.api.document_state`: the current version and its metadata.

    `revision` rises with any change (content, metadata, access, delete). Carries PHI: never log it.
    """

    document_id: UUID
    version: int
    revision: int
    deleted: bool
    filename: str
    title: str
    document_type: str
    document_date: date | None
    patient: str | None
    department: str | None
    owner_id: UUID
    sensitivity: Sensitivity
    access_list: frozenset[str]

    @property
    def access(self) -> Access:
        return Access(self.access_list, self.sensitivity)

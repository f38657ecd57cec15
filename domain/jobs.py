"""Processing jobs: stages, lanes, leases and failures as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Stage(StrEnum):
    """The stages in their order; each one's result is a durable artefact."""

    EXTRACT = "extract"
    ANNOTATE = "annotate"
    EMBED = "embed"
    INDEX = "index"

    @property
    def next(self) -> Stage | None:
        order = list(Stage)
        position = order.index(self) + 1
        return order[position] if position < len(order) else None

    @property
    def previous(self) -> Stage | None:
        order = list(Stage)
        position = order.index(self)
        return order[position - 1] if position else None


class JobKind(StrEnum):
    """What a job does to its document. Changes and deletions are small, start at the last stage, and overtake.

    `EMBED` brings an indexed document into a further generation of the index: from its annotation to new vectors.
    """

    PROCESS = "process"
    EMBED = "embed"
    UPDATE = "update"
    DELETE = "delete"


class Lane(StrEnum):
    """Online uploads are never delayed by bulk loads."""

    ONLINE = "online"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one stage of a job until `until`; every write must show `fence`."""

    job_id: UUID
    document_id: UUID
    version: int
    revision: int
    stage: Stage
    lane: Lane
    fence: int
    until: datetime
    holder: str
    request_id: str
    attempt: int
    """1 for the first try of this stage; counts failures and lost leases."""
    kind: JobKind = JobKind.PROCESS
    blob_key: str = ""
    """The original's blob."""
    artefacts: Mapping[str, str] = field(default_factory=dict)
    """Stage -> key of the blob with its result, of the stages that are done."""
    generation: str | None = None
    """The generation that an `EMBED` job is for."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a stage did not succeed, as a value.

    `final` failures are the input's fault (`rejected`); the others are tried again until they are spent.
    """

    code: str
    message: str
    final: bool = False


REJECTIONS: dict[str, tuple[str, str]] = {
    "empty": ("The file is empty.", "Check the file at its source and upload it again."),
    "unsupported_type": (
        "This kind of file cannot be read.",
        "Save the document as PDF or plain text and upload that.",
    ),
    "encrypted": ("The PDF is protected by a password.", "Remove the password and upload the file again."),
    "no_pages": ("The PDF has no pages.", "Export the document again at its source."),
    "damaged": (
        "The file is damaged and cannot be opened.",
        "Get a fresh copy of the file and upload it again.",
    ),
    "too_many_pages": ("The document has too many pages.", "Split it into smaller files."),
    "too_large": ("The text of the document is too large.", "Split it into smaller files."),
}
"""The input's fault, not tried again: code -> (message, action), in words a records clerk understands."""

QUARANTINES: dict[str, tuple[str, str]] = {
    "out_of_memory": (
        "Reading the file took too much memory.",
        "Ask an administrator to look at the file, then retry it.",
    ),
    "cpu_limit": (
        "Reading the file took too much processor time.",
        "Ask an administrator to look at the file, then retry it.",
    ),
    "wall_limit": (
        "Reading the file took too long.",
        "Ask an administrator to look at the file, then retry it.",
    ),
    "parser_crashed": (
        "The reader of this file type stopped unexpectedly.",
        "Ask an administrator to look at the file, then retry it.",
    ),
    "model_failed": (
        "The text could not be analysed.",
        "Retry it; tell an administrator when it happens again.",
    ),
    "model_unavailable": (
        "The embedding model cannot be loaded.",
        "Put the model back where the platform looks for it: medsearch index status.",
    ),
    "artefact_damaged": (
        "A stored result of the processing cannot be read.",
        "Retry it; tell an administrator when it happens again.",
    ),
    "index_unavailable": ("The search index could not be reached.", "Retry it when search works again."),
    "original_missing": ("The stored file cannot be found.", "Upload the file again; tell an administrator."),
    "storage_unavailable": ("The storage of documents did not work.", "Retry it when storage works again."),
    "lease_lost": (
        "The work was interrupted too many times.",
        "Retry it; tell an administrator when it happens again.",
    ),
}
"""Attempts are spent: code -> (message, action)."""


def explain(code: str) -> tuple[str, str]:
    """What a reason means and what to do about it; raises `KeyError` for a code that is not ours."""
    return (REJECTIONS | QUARANTINES)[code]

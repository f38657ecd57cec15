"""The ports: what the rest of the code may ask of the world outside the process.

Every port has one conformance suite in `tests/contract`, which each implementation passes. Unless a docstring
says otherwise an implementation raises `domain.errors.Unavailable` when its server cannot be reached.
"""

from __future__ import annotations

from domain.keys import KeyInfo, KeyState, Purpose
from stores.ports.audit import (
    AuditEntry,
    AuditFigure,
    AuditLog,
    AuditQuestion,
    AuditReader,
    AuditRecord,
    PatientReader,
)
from stores.ports.blobs import BlobStore, StoredBlob
from stores.ports.documents import DocumentDirectory
from stores.ports.events import EventLog
from stores.ports.keys import Keys, KeyUnknown, SealBroken, Sealed
from stores.ports.limits import Allowance, RateLimiter
from stores.ports.mail import Mail, MailRefused, MailSender
from stores.ports.search import QueryEncoding, SearchIndex, SearchWindows, Visibility, WriteReport
from stores.ports.sessions import (
    ApiKeyDirectory,
    ApiKeyState,
    SessionActivity,
    SessionDirectory,
    SessionState,
)

__all__ = [
    "Allowance",
    "ApiKeyDirectory",
    "ApiKeyState",
    "AuditEntry",
    "AuditFigure",
    "AuditLog",
    "AuditQuestion",
    "AuditReader",
    "AuditRecord",
    "BlobStore",
    "DocumentDirectory",
    "EventLog",
    "KeyInfo",
    "KeyState",
    "KeyUnknown",
    "Keys",
    "Mail",
    "MailRefused",
    "MailSender",
    "PatientReader",
    "Purpose",
    "QueryEncoding",
    "RateLimiter",
    "SealBroken",
    "Sealed",
    "SearchIndex",
    "SearchWindows",
    "SessionActivity",
    "SessionDirectory",
    "SessionState",
    "StoredBlob",
    "Visibility",
    "WriteReport",
]

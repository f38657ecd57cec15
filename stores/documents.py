"""Documents and their versions in `document_db`, the truth about them; others see a published view."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.access import Access, Sensitivity, effective_principals
from domain.errors import Conflict
from domain.jobs import Lane, Stage
from domain.lifecycle import RECEIVED, State, Status
from stores.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is said about a document. PHI: never log it."""

    filename: str
    title: str
    document_type: str
    document_date: date | None = None
    patient: str | None = None
    department: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of one version."""

    blob_key: str
    sha256: str
    size: int
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A document in its current version, and how far its processing is."""

    id: UUID
    owner_id: UUID
    uploaded_by: UUID
    metadata: Metadata
    access: Access
    content: Content
    lane: Lane = Lane.ONLINE
    version: int = 1
    revision: int = 1
    state: State = RECEIVED
    progress: float = 0.0
    failures: int = 0
    eta_at: datetime | None = None
    reason_code: str | None = None
    pages: int | None = None
    unreadable_pages: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    artefacts: Mapping[str, str] = field(default_factory=dict)
    """Stage -> blob key of its result, of this version."""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def deleted(self) -> bool:
        return self.state.status in (Status.DELETING, Status.DELETED)


class DocumentStore:
    """Single documents. Changes take a connection with a transaction, so that their events go with them."""

    def __init__(self, db: Postgres) -> None:
        self.db = db

    def transaction(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        return self.db.transaction()

    async def find(self, document_id: UUID) -> Document | None:
        async with self.db.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM document WHERE id = $1", document_id)
        return read(row) if row else None

    async def find_all(self, document_ids: Sequence[UUID]) -> dict[UUID, Document]:
        """Those of the documents that there are."""
        async with self.db.connection() as connection:
            rows = await connection.fetch("SELECT * FROM document WHERE id = ANY ($1)", list(document_ids))
        return {row["id"]: read(row) for row in rows}

    async def locked(self, connection: asyncpg.Connection, document_id: UUID) -> Document | None:
        """The document, which nobody else can change until the transaction ends."""
        row = await connection.fetchrow("SELECT * FROM document WHERE id = $1 FOR UPDATE", document_id)
        return read(row) if row else None

    async def twin(self, connection: asyncpg.Connection, document: Document) -> Document | None:
        """The live document with the same owner, patient, bytes and access list at upload."""
        row = await connection.fetchrow(
            """
            SELECT * FROM document WHERE owner_id = $1 AND patient IS NOT DISTINCT FROM $2 AND sha256 = $3
            AND upload_scope = $4 AND status NOT IN ('deleting', 'deleted')
            """,
            *(document.owner_id, document.metadata.patient, document.content.sha256, scope(document.access)),
        )
        return read(row) if row else None

    async def insert(self, connection: asyncpg.Connection, document: Document) -> bool:
        """Add a new document with its first version; False when it has a live twin."""
        columns = _metadata(document.metadata) | _content(document.content)
        columns |= _access(document.access) | {
            "id": document.id,
            "owner_id": document.owner_id,
            "uploaded_by": document.uploaded_by,
            "upload_scope": scope(document.access),
            "lane": document.lane.value,
        }
        names = ", ".join(columns)
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        done = await connection.execute(
            f"INSERT INTO document ({names}) VALUES ({places}) ON CONFLICT DO NOTHING",  # noqa: S608 - ours
            *columns.values(),
        )
        if done == "INSERT 0 0":
            return False
        await self._add_version(connection, document, document.uploaded_by)
        return True

    async def replace(self, connection: asyncpg.Connection, document: Document, by: UUID) -> None:
        """Make `document` (its version and revision already raised) the current version, processed anew.

        Raises `Conflict` when the owner has another live document with these bytes.
        """
        try:
            await self._set(
                connection,
                document,
                _metadata(document.metadata)
                | _content(document.content)
                | {"status": RECEIVED.status.value, "stage": None, "progress": 0.0, "failures": 0}
                | {"sequence": 0, "eta_at": None, "reason_code": None, "pages": None, "artefacts": {}}
                | {"unreadable_pages": [], "warnings": [], "lane": document.lane.value},
            )
        except asyncpg.UniqueViolationError:
            raise Conflict(
                "There is already another document of this owner with exactly this content.",
                code="document.duplicate",
            ) from None
        await self._add_version(connection, document, by)

    async def set_access(self, connection: asyncpg.Connection, document: Document) -> None:
        """Store the access list and sensitivity of `document` (its revision already raised)."""
        await self._set(connection, document, _access(document.access))

    async def set_deleting(self, connection: asyncpg.Connection, document: Document) -> None:
        """Store that the document goes (its revision already raised)."""
        columns = {"status": Status.DELETING.value, "stage": None, "eta_at": None, "reason_code": None}
        await self._set(connection, document, columns)

    async def _set(
        self, connection: asyncpg.Connection, document: Document, columns: Mapping[str, Any]
    ) -> None:
        columns = {"version": document.version, "revision": document.revision, **columns}
        changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        await connection.execute(
            f"UPDATE document SET {changes}, updated_at = now() WHERE id = $1",  # noqa: S608 - names are ours
            document.id,
            *columns.values(),
        )

    async def _add_version(self, connection: asyncpg.Connection, document: Document, by: UUID) -> None:
        content = document.content
        await connection.execute(
            """
            INSERT INTO document_version
                (document_id, version, blob_key, sha256, bytes, filename, uploaded_by)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            *(document.id, document.version, content.blob_key, content.sha256, content.size),
            *(document.metadata.filename, by),
        )


def scope(access: Access) -> str:
    """Digest of access list and sensitivity: what duplicates must share, kept as it was at upload."""
    return hashlib.sha256("\n".join([access.sensitivity, *sorted(access.principals)]).encode()).hexdigest()


def read(row: asyncpg.Record) -> Document:
    """The document of a row with all columns."""
    return Document(
        id=row["id"],
        owner_id=row["owner_id"],
        uploaded_by=row["uploaded_by"],
        metadata=Metadata(**{name: row[name] for name in _METADATA}),
        access=Access(frozenset(row["access"]), Sensitivity(row["sensitivity"])),
        content=Content(row["blob_key"], row["sha256"], row["bytes"], row["media_type"]),
        lane=Lane(row["lane"]),
        state=State(Status(row["status"]), Stage(row["stage"]) if row["stage"] else None),
        unreadable_pages=tuple(row["unreadable_pages"]),
        warnings=tuple(row["warnings"]),
        **{name: row[name] for name in _PLAIN},
    )


_METADATA = ("filename", "title", "document_type", "document_date", "patient", "department")
_PLAIN = (
    "version", "revision", "progress", "failures", "eta_at", "reason_code", "pages", "artefacts",
    "created_at", "updated_at",
)  # fmt: skip
"""Columns that are fields of the document as they are."""


def _metadata(metadata: Metadata) -> dict[str, Any]:
    return {name: getattr(metadata, name) for name in _METADATA}


def _content(content: Content) -> dict[str, Any]:
    return {
        "blob_key": content.blob_key,
        "sha256": content.sha256,
        "bytes": content.size,
        "media_type": content.media_type,
    }


def _access(access: Access) -> dict[str, Any]:
    return {
        "access": sorted(access.principals),
        "readers": sorted(effective_principals(access)),
        "sensitivity": access.sensitivity.value,
    }

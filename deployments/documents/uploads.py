"""Uploading: bytes to the blob store while they are hashed, then one transaction for all that is known.

A crash may leave a blob that no row speaks of: `OrphanSweep` removes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import asyncpg

from deployments.documents import events
from deployments.documents.bodies import Upload
from deployments.documents.lookup import DocumentLookup, missing
from deployments.documents.schemas import PREFIX, Receipt, UploadParameters, VersionParameters
from domain.access import Access, Caller, default_access
from domain.audit import AuditEvent
from domain.documents import DocumentType
from domain.errors import Unavailable
from domain.filenames import safe_filename, stem
from domain.ids import new_id
from domain.jobs import Lane
from domain.lifecycle import Happening, step
from models.extraction import sniff
from stores import idempotency
from stores.documents import Content, Document, DocumentStore, Metadata
from stores.outbox import publish, publish_audit
from stores.ports import AuditLog, BlobStore, StoredBlob

HEAD_BYTES = 4096
"""What the kind of a file is told from."""

TWIN_ATTEMPTS = 5
"""How often a twin may be in the way and be deleted before it is read."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An answer: 202 for new bytes, 200 for bytes that were there, the first answer for a repeated key."""

    status: int
    body: dict[str, Any]

    @property
    def location(self) -> str:
        return f"{PREFIX}/{self.body['id']}"


@dataclass(frozen=True, slots=True)
class Arrived:
    """Bytes in `incoming/`, not yet anybody's."""

    blob: StoredBlob
    media_type: str | None

    def at(self, document_id: UUID, version: int) -> Content:
        """The same bytes as the content of a version."""
        key = f"originals/{document_id}/{version}"
        return Content(key, self.blob.sha256, self.blob.size, self.media_type)


Register = Callable[[asyncpg.Connection, Arrived], Awaitable[tuple[Document, bool]]]
"""Makes the rows; the document, and whether it took the new bytes."""


class Uploads:
    """Takes documents and versions in."""

    def __init__(
        self, store: DocumentStore, blobs: BlobStore, audit: AuditLog, lookup: DocumentLookup, *, limit: int
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._audit = audit
        self._lookup = lookup
        self._limit = limit

    async def create(
        self,
        caller: Caller,
        upload: Upload[UploadParameters],
        *,
        key: str | None = None,
        lane: Lane = Lane.ONLINE,
    ) -> Accepted:
        """A new document, or the one with the same owner, patient, access list and bytes.

        Raises `Forbidden`, `Invalid`, `TooLarge`, `StorageFull`, and `Unauthenticated` when the caller's rights
        changed while the bytes came.
        """
        await self._lookup.check_upload(caller, upload.parameters())

        async def register(connection: asyncpg.Connection, arrived: Arrived) -> tuple[Document, bool]:
            parameters = upload.parameters()
            await self._lookup.check_upload(caller, parameters)
            document = _new(caller, parameters, arrived, lane)
            return await self._insert(connection, caller, document, arrived)

        return await self._accept(caller, "document.create", key, upload, register)

    async def add_version(
        self,
        caller: Caller,
        document_id: UUID,
        upload: Upload[VersionParameters],
        *,
        key: str | None = None,
        lane: Lane = Lane.ONLINE,
    ) -> Accepted:
        """A new version, to be processed anew; the bytes of the current one change nothing.

        Raises as `create`, and `NotFound`, `Conflict`.
        """
        check = self._lookup.rights.check_version
        await self._lookup.permitted(caller, document_id, AuditEvent.DOCUMENT_VERSION, check)

        async def register(connection: asyncpg.Connection, arrived: Arrived) -> tuple[Document, bool]:
            parameters = upload.parameters()
            document = await self._store.locked(connection, document_id)
            if document is None or document.deleted:
                raise missing()
            check(caller, document)
            if document.content.sha256 == arrived.blob.sha256:
                return document, False
            newer = _newer(document, parameters, arrived, lane)
            return await self._replace(connection, caller, newer, arrived), True

        return await self._accept(caller, f"document.version:{document_id}", key, upload, register)

    async def _accept(
        self,
        caller: Caller,
        operation: str,
        key: str | None,
        upload: Upload[Any],
        register: Register,
    ) -> Accepted:
        arrived = await self._receive(upload.content())
        try:
            use = _use(caller, operation, key, arrived, upload.parameters()) if key is not None else None
            await upload.check_sender()
            async with self._store.transaction() as connection:
                if use and (known := await idempotency.claim(connection, use)):
                    return Accepted(known.status, known.body)
                document, taken = await register(connection, arrived)
                receipt = Receipt.of(document, duplicate=not taken)
                accepted = Accepted(202 if taken else 200, receipt.model_dump(mode="json"))
                if use:
                    await idempotency.keep(
                        connection, use, idempotency.Answer(accepted.status, accepted.body)
                    )
            return accepted
        finally:
            with suppress(Unavailable):  # the sweep takes what stays
                await self._blobs.delete(arrived.blob.key)

    async def _receive(self, chunks: AsyncIterator[bytes]) -> Arrived:
        head = bytearray()

        async def watched() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                if len(head) < HEAD_BYTES:
                    head.extend(chunk[: HEAD_BYTES - len(head)])
                yield chunk

        blob = await self._blobs.write(f"incoming/{new_id()}", watched(), limit=self._limit)
        return Arrived(blob, sniff(bytes(head)))

    async def _insert(
        self, connection: asyncpg.Connection, caller: Caller, document: Document, arrived: Arrived
    ) -> tuple[Document, bool]:
        for _ in range(TWIN_ATTEMPTS):
            if await self._store.insert(connection, document):
                await self._take(connection, caller, document, arrived)
                return document, True
            twin = await self._store.twin(connection, document)
            if twin is not None:
                await self._record(connection, caller, twin, reason="duplicate")
                return twin, False
        raise Unavailable("The same document is being changed by somebody else. Try again.", retry_after=1)

    async def _replace(
        self, connection: asyncpg.Connection, caller: Caller, newer: Document, arrived: Arrived
    ) -> Document:
        await self._store.replace(connection, newer, UUID(caller.user_id))
        # A crash may have left a blob of this name; we hold the lock, so nobody else is writing one now.
        await self._blobs.delete(newer.content.blob_key)
        await self._take(connection, caller, newer, arrived)
        return newer

    async def _take(
        self, connection: asyncpg.Connection, caller: Caller, document: Document, arrived: Arrived
    ) -> None:
        await self._blobs.rename(arrived.blob.key, document.content.blob_key)
        await publish(connection, events.uploaded(document))
        await self._record(connection, caller, document)

    async def _record(
        self, connection: asyncpg.Connection, caller: Caller, document: Document, *, reason: str | None = None
    ) -> None:
        entry = events.entry(caller, "C", AuditEvent.DOCUMENT_UPLOAD, document, reason=reason)
        await publish_audit(connection, self._audit.seal(entry))


def _new(caller: Caller, parameters: UploadParameters, arrived: Arrived, lane: Lane) -> Document:
    document_id = new_id()
    owner_id = parameters.owner_id or UUID(caller.user_id)
    filename = safe_filename(parameters.filename or "")
    principals = default_access(str(owner_id), patient=parameters.patient, department=parameters.department)
    return Document(
        id=document_id,
        owner_id=owner_id,
        uploaded_by=UUID(caller.user_id),
        metadata=Metadata(
            filename=filename,
            title=parameters.title or stem(filename),
            document_type=parameters.document_type or DocumentType.OTHER,
            document_date=parameters.document_date,
            patient=parameters.patient,
            department=parameters.department,
        ),
        access=Access(principals, parameters.sensitivity),
        content=arrived.at(document_id, 1),
        lane=lane,
    )


def _newer(document: Document, parameters: VersionParameters, arrived: Arrived, lane: Lane) -> Document:
    given = parameters.model_dump(exclude_none=True)
    if "filename" in given:
        given["filename"] = safe_filename(given["filename"])
    version = document.version + 1
    return replace(
        document,
        version=version,
        revision=document.revision + 1,
        metadata=replace(document.metadata, **given),
        content=arrived.at(document.id, version),
        state=step(document.state, Happening.REPLACE),
        lane=lane,
    )


def _use(
    caller: Caller, operation: str, key: str, arrived: Arrived, parameters: VersionParameters
) -> idempotency.Use:
    asked = [arrived.blob.sha256, parameters.model_dump(mode="json", exclude_none=True)]
    fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return idempotency.Use(UUID(caller.user_id), operation, key, fingerprint)

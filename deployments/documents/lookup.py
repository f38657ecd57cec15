"""Finding one document for a caller. What the caller may not know of is missing; the attempt is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from deployments.documents import events
from deployments.documents.rights import Rights
from deployments.documents.schemas import UploadParameters
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Forbidden, NotFound
from stores.documents import Document, DocumentStore
from stores.ports import AuditLog

Decision = Callable[[Caller, Document], bool]
Check = Callable[[Caller, Document], None]


class DocumentLookup:
    """Answers a document, or `NotFound` that looks the same whether it is missing, deleted or hidden."""

    def __init__(self, store: DocumentStore, rights: Rights, audit: AuditLog) -> None:
        self.rights = rights
        self._store = store
        self._audit = audit

    async def readable(self, caller: Caller, document_id: UUID, event: AuditEvent) -> Document:
        """For its content. Raises `Forbidden` to those who may see that it is there, but not read it."""
        document = await self.visible(caller, document_id, event)
        if not self.rights.reads(caller, document):
            await self._audit.record(events.entry(caller, "R", event, document, outcome="denied"))
            raise Forbidden("You may follow this document, but not read it.")
        return document

    async def visible(self, caller: Caller, document_id: UUID, event: AuditEvent) -> Document:
        """For its metadata."""
        return await self._found(caller, document_id, event, self.rights.sees)

    async def permitted(self, caller: Caller, document_id: UUID, event: AuditEvent, check: Check) -> Document:
        """For an operation that `check` allows, or refuses by raising `Forbidden`, which is recorded."""
        document = await self._found(caller, document_id, event, self.rights.knows)
        try:
            check(caller, document)
        except Forbidden:
            await self._audit.record(events.entry(caller, "U", event, document, outcome="denied"))
            raise
        return document

    async def check_upload(self, caller: Caller, parameters: UploadParameters) -> None:
        """Raises `Forbidden`, recorded, for a patient or an owner that the caller may not name."""
        try:
            self.rights.check_upload(caller, parameters)
        except Forbidden:
            entry = events.entry(caller, "C", AuditEvent.DOCUMENT_UPLOAD, outcome="denied")
            await self._audit.record(replace(entry, patient=parameters.patient))
            raise

    async def of_uploader(self, caller: Caller, document_id: UUID, event: AuditEvent) -> Document:
        """As `visible`; those whose document it is also find it when it is deleted."""
        document = await self._store.find(document_id)
        if document is not None and document.deleted and self.rights.owns(caller, document):
            return document
        return await self.visible(caller, document_id, event)

    async def _found(
        self, caller: Caller, document_id: UUID, event: AuditEvent, allowed: Decision
    ) -> Document:
        document = await self._store.find(document_id)
        if document is None or document.deleted or not allowed(caller, document):
            raise await self._missing(caller, document_id, event)
        return document

    async def _missing(self, caller: Caller, document_id: UUID, event: AuditEvent) -> NotFound:
        entry = events.entry(caller, "R", event, outcome="denied")
        await self._audit.record(replace(entry, document_id=document_id))
        return missing()


def missing() -> NotFound:
    return NotFound("There is no such document, or you may not see it.", code="document.not_found")

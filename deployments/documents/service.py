"""Reading, listing and deleting documents. What shows PHI is recorded before it is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from deployments.documents import events
from deployments.documents.artefacts import Artefact, mentions_of, opened, page_of
from deployments.documents.lookup import DocumentLookup, missing
from deployments.documents.schemas import Deletion, Entity, PageText
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Conflict, NotFound
from domain.jobs import Stage
from domain.lifecycle import Happening, step
from models.artefacts import ArtefactFormat
from stores.document_lists import DocumentLists, ListFilters, Order
from stores.documents import Document, DocumentStore
from stores.outbox import publish, publish_audit
from stores.ports import AuditLog, BlobStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Download:
    """A document's original bytes."""

    document: Document
    chunks: AsyncIterator[bytes]


class DocumentService:
    """What callers may do with documents that are there."""

    def __init__(
        self,
        store: DocumentStore,
        lists: DocumentLists,
        blobs: BlobStore,
        audit: AuditLog,
        lookup: DocumentLookup,
    ) -> None:
        self._store = store
        self._lists = lists
        self._blobs = blobs
        self._audit = audit
        self._lookup = lookup

    async def view(self, caller: Caller, document_id: UUID) -> Document:
        """The document's metadata and status."""
        document = await self._lookup.visible(caller, document_id, AuditEvent.DOCUMENT_VIEW)
        await self._record_read(caller, AuditEvent.DOCUMENT_VIEW, document)
        return document

    async def status(self, caller: Caller, document_id: UUID) -> Document:
        """How far it is, nothing of what it is about: not audited."""
        return await self._lookup.of_uploader(caller, document_id, AuditEvent.DOCUMENT_STATUS)

    async def page(
        self, caller: Caller, filters: ListFilters, *, order: Order, after: UUID | None, limit: int
    ) -> list[Document]:
        """Documents that the caller may see, one more than `limit` when there is a next page."""
        documents = await self._lists.page(
            self._lookup.rights.reach(caller), filters, order=order, after=after, limit=limit + 1
        )
        entry = events.entry(caller, "R", AuditEvent.DOCUMENT_LIST)
        shown = documents[:limit]
        patients = dict.fromkeys(one.metadata.patient for one in shown if one.metadata.patient)
        entry = replace(entry, patient=filters.patient, patients=tuple(patients))
        await self._audit.record(replace(entry, document_ids=tuple(one.id for one in shown)))
        return documents

    async def download(self, caller: Caller, document_id: UUID) -> Download:
        """The original of the current version."""
        document = await self._lookup.readable(caller, document_id, AuditEvent.DOCUMENT_DOWNLOAD)
        await self._blobs.local_path(document.content.blob_key)
        await self._record_read(caller, AuditEvent.DOCUMENT_DOWNLOAD, document)
        return Download(document, self._blobs.stream(document.content.blob_key))

    async def page_text(self, caller: Caller, document_id: UUID, number: int) -> PageText:
        """The stored text of one page; raises `Conflict` while there is none yet."""
        document = await self._lookup.readable(caller, document_id, AuditEvent.DOCUMENT_TEXT)
        async with self._artefact(document, Stage.EXTRACT, "extraction") as extraction:
            page = await page_of(extraction, number)
        if page is None:
            raise _no_page(extraction.pages)
        await self._record_read(caller, AuditEvent.DOCUMENT_TEXT, document)
        return PageText(
            document_id=document.id,
            version=document.version,
            page=number,
            pages=extraction.pages,
            readable=page.readable,
            text=page.text,
        )

    async def entities(
        self, caller: Caller, document_id: UUID, *, page: int | None, start: int, limit: int
    ) -> tuple[list[Entity], int, int]:
        """Mentions in the order of the text, `limit` from the `start`-th on; how many there are; of which version."""
        document = await self._lookup.readable(caller, document_id, AuditEvent.DOCUMENT_ENTITIES)
        async with self._artefact(document, Stage.ANNOTATE, "annotation") as annotation:
            found, total = await mentions_of(annotation, page, start=start, limit=limit)
        if page is not None and page > annotation.pages:
            raise _no_page(annotation.pages)
        await self._record_read(caller, AuditEvent.DOCUMENT_ENTITIES, document)
        return [Entity.of(mention) for mention in found], total, document.version

    async def delete(self, caller: Caller, document_id: UUID, *, reason: str | None = None) -> Deletion:
        """Hide the document from everybody now; its traces are removed behind that.

        Raises `NotFound`, and `Forbidden` to those who may read but not delete it.
        """
        check = self._lookup.rights.check_delete
        await self._lookup.permitted(caller, document_id, AuditEvent.DOCUMENT_DELETE, check)
        async with self._store.transaction() as connection:
            document = await self._store.locked(connection, document_id)
            if document is None or document.deleted:
                raise missing()
            check(caller, document)
            going = replace(
                document, revision=document.revision + 1, state=step(document.state, Happening.DELETE)
            )
            await self._store.set_deleting(connection, going)
            await publish(connection, events.deleted(going))
            entry = events.entry(caller, "D", AuditEvent.DOCUMENT_DELETE, going, reason=reason)
            await publish_audit(connection, self._audit.seal(entry))
        return Deletion(id=going.id, revision=going.revision, status=going.state.status)

    @asynccontextmanager
    async def _artefact(self, document: Document, stage: Stage, kind: str) -> AsyncIterator[Artefact]:
        """The stage's result; raises `Conflict` when there is none yet, or none that can be read."""
        key = document.artefacts.get(stage)
        if key is None:
            raise Conflict(
                "The document has not been read yet. Its status says how far it is.",
                code="document.not_ready",
            )
        try:
            yield await opened(self._blobs, key, kind)
        except (ArtefactFormat, NotFound) as error:
            log.warning("artefact_damaged", stage=stage, document_id=str(document.id), exc_info=error)
            raise Conflict(
                "What was read of the document is not there at the moment. Tell an administrator.",
                code="document.not_ready",
            ) from error

    async def _record_read(self, caller: Caller, event: AuditEvent, document: Document) -> None:
        await self._audit.record(events.entry(caller, "R", event, document))


def _no_page(pages: int) -> NotFound:
    return NotFound(f"The document has {pages} pages.", code="document.page_not_found")

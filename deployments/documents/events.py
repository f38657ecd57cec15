"""Events and audit records of the document service. No PHI in events; names only in sealed audit fields."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.edge.context import address, request_id
from domain.access import Caller
from domain.audit import AuditEvent
from domain.events import Event, EventType
from stores.documents import Document
from stores.ports import AuditEntry

SOURCE = "/medsearch/documents"


def uploaded(document: Document) -> Event:
    content = document.content
    return _event(
        EventType.DOCUMENT_UPLOADED,
        document,
        owner_id=str(document.owner_id),
        blob_key=content.blob_key,
        sha256=content.sha256,
        lane=document.lane.value,
        **({"media_type": content.media_type} if content.media_type else {}),
    )


def access_changed(document: Document, fields: Sequence[str]) -> Event:
    return _event(EventType.DOCUMENT_ACCESS_CHANGED, document, fields=list(fields))


def deleted(document: Document) -> Event:
    return _event(EventType.DOCUMENT_DELETED, document)


def entry(
    caller: Caller | None,
    action: str,
    event: AuditEvent,
    document: Document | None = None,
    *,
    outcome: str = "success",
    reason: str | None = None,
) -> AuditEntry:
    """What is recorded of an act on one document; without a caller it is the platform's own act."""
    owner = f"user:{document.owner_id}" if document else None
    actor = f"user:{caller.user_id}" if caller else "system"
    return AuditEntry(
        action=action,
        event=event,
        outcome=outcome,
        actor=actor,
        role=caller.role if caller else "",
        on_behalf_of=owner if action == "C" and owner != actor else None,
        patient=document.metadata.patient if document else None,
        document_id=document.id if document else None,
        version=document.version if document else None,
        reason=reason,
        address=address() or None,
        request_id=request_id(),
        session_id=caller.through if caller else None,
        names={"title": document.metadata.title} if document and action in ("C", "U", "D") else {},
    )


def _event(kind: EventType, document: Document, **data: object) -> Event:
    fixed = {"document_id": str(document.id), "version": document.version, "revision": document.revision}
    return Event(kind, str(document.id), {**fixed, **data}, SOURCE, request_id())

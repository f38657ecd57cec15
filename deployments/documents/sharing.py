"""Who else may read a document: its access list and its sensitivity, changed under the document's lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import UUID

from deployments.documents import events
from deployments.documents.lookup import Check, DocumentLookup, missing
from domain.access import Access, Caller, Sensitivity, fixed_access
from domain.audit import AuditEvent
from domain.errors import Conflict
from stores.documents import Document, DocumentStore
from stores.outbox import publish, publish_audit
from stores.ports import AuditLog

LONGEST_LIST = 200
"""Most principals on one list: whole groups are departments."""

Change = Callable[[Document], Access]


class Sharing:
    """Every change counts with the next read, and in search as soon as its event has arrived there."""

    def __init__(self, store: DocumentStore, audit: AuditLog, lookup: DocumentLookup) -> None:
        self._store = store
        self._audit = audit
        self._lookup = lookup

    async def view(self, caller: Caller, document_id: UUID) -> Document:
        """For who may share it. Raises `NotFound`, and `Forbidden` to those who may see but not share it."""
        event = AuditEvent.DOCUMENT_ACCESS_VIEW
        document = await self._lookup.permitted(caller, document_id, event, self._lookup.rights.check_share)
        await self._audit.record(events.entry(caller, "R", event, document))
        return document

    async def grant(self, caller: Caller, document_id: UUID, principal: str) -> Document:
        """Let `user:ID` or the members of `department:NAME` read it. Raises also `Conflict` (a full list)."""

        def add(document: Document) -> Access:
            listed = document.access.principals | {principal}
            if len(listed) > LONGEST_LIST:
                raise Conflict(
                    "The access list is full. Share with a department instead.", code="document.access_full"
                )
            return replace(document.access, principals=listed)

        return await self._change(caller, document_id, add, names={"granted": principal})

    async def revoke(self, caller: Caller, document_id: UUID, principal: str) -> Document:
        """Take a principal off the list. Raises also `Conflict` for one that belongs to the document itself."""

        def remove(document: Document) -> Access:
            if principal in fixed_access(str(document.owner_id), document.metadata.patient):
                raise Conflict(
                    "Owner, patient, treating and emergency access belong to the document and stay.",
                    code="document.access_fixed",
                )
            return replace(document.access, principals=document.access.principals - {principal})

        return await self._change(caller, document_id, remove, names={"revoked": principal})

    async def set_sensitivity(
        self, caller: Caller, document_id: UUID, sensitivity: Sensitivity, reason: str
    ) -> Document:
        """Raises also `Forbidden` and `Invalid` for what may not be opened to researchers."""
        rights = self._lookup.rights

        def check(caller: Caller, document: Document) -> None:
            rights.check_share(caller, document)
            if sensitivity is Sensitivity.DEIDENTIFIED:
                rights.check_deidentify(caller, document)

        return await self._change(
            caller,
            document_id,
            lambda document: replace(document.access, sensitivity=sensitivity),
            names={"sensitivity": sensitivity.value},
            check=check,
            reason=reason,
        )

    async def _change(
        self,
        caller: Caller,
        document_id: UUID,
        change: Change,
        *,
        names: Mapping[str, str],
        check: Check | None = None,
        reason: str | None = None,
    ) -> Document:
        """What changes nothing raises no revision, and is not told."""
        event = AuditEvent.DOCUMENT_ACCESS_CHANGE
        check = check or self._lookup.rights.check_share
        await self._lookup.permitted(caller, document_id, event, check)
        async with self._store.transaction() as connection:
            document = await self._store.locked(connection, document_id)
            if document is None or document.deleted:
                raise missing()
            check(caller, document)
            access = change(document)
            if access == document.access:
                return document
            changed = replace(document, revision=document.revision + 1, access=access)
            await self._store.set_access(connection, changed)
            await publish(connection, events.access_changed(changed, _fields(document.access, access)))
            entry = events.entry(caller, "U", event, changed, reason=reason)
            entry = replace(entry, names={**entry.names, **names})
            await publish_audit(connection, self._audit.seal(entry))
        return changed


def _fields(old: Access, new: Access) -> list[str]:
    changed = {
        "access": old.principals != new.principals,
        "sensitivity": old.sensitivity != new.sensitivity,
    }
    return [name for name, differs in changed.items() if differs]

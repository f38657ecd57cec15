"""What a batch of operations comes to, document by document: the highest revision wins, in any order of arrival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from domain.search import (
    DeleteDocument,
    IndexOperation,
    PassageRecord,
    PutDocument,
    Root,
    UpdateDocument,
)


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index holds of a document; without a root it was deleted, and its revision is remembered."""

    revision: int
    root: Root | None
    passages: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a document. `passages` None: they stay as they are."""

    document_id: UUID
    after: Indexed
    passages: tuple[PassageRecord, ...] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The changes to make, one a document, and the documents whose operation lost."""

    changes: tuple[Change, ...]
    stale: tuple[UUID, ...]


def document_of(operation: IndexOperation) -> UUID:
    return operation.root.document_id if isinstance(operation, PutDocument) else operation.document_id


def settle(operations: Sequence[IndexOperation], known: Mapping[UUID, Indexed]) -> Batch:
    """Apply the operations in order to what is `known`.

    An operation loses to a higher revision, and a put also to a deletion of the same one. An update of a document
    that the index does not hold changes nothing: its put will bring the metadata of its own time.
    """
    changes: dict[UUID, Change] = {}
    stale: list[UUID] = []
    for operation in operations:
        document_id = document_of(operation)
        earlier = changes.get(document_id)
        before = earlier.after if earlier else known.get(document_id)
        if before and _loses(operation, before):
            stale.append(document_id)
        elif change := _change(operation, before, earlier):
            changes[document_id] = change
    return Batch(tuple(changes.values()), tuple(stale))


def _loses(operation: IndexOperation, before: Indexed) -> bool:
    if isinstance(operation, PutDocument):
        revision = operation.root.revision
        return revision < before.revision or (before.root is None and revision == before.revision)
    return operation.revision < before.revision


def _change(operation: IndexOperation, before: Indexed | None, earlier: Change | None) -> Change | None:
    match operation:
        case PutDocument(root, passages):
            return Change(root.document_id, Indexed(root.revision, root, len(passages)), passages)
        case DeleteDocument(document_id, revision):
            return Change(document_id, Indexed(revision, None), ())
        case UpdateDocument() if before and before.root:
            after = replace(before, revision=operation.revision, root=_updated(before.root, operation))
            return Change(operation.document_id, after, earlier.passages if earlier else None)
        case UpdateDocument():
            return None


def _updated(root: Root, update: UpdateDocument) -> Root:
    text = root.stems.split()[root.title_stems :]
    title = (
        update.title_stems.split()
        if update.title_stems is not None
        else root.stems.split()[: root.title_stems]
    )
    return replace(
        root,
        stems=" ".join([*title, *text]),
        title_stems=len(title),
        revision=update.revision,
        access=update.access if root.version >= update.version else (),
        title=update.title,
        document_type=update.document_type,
        department=update.department,
        patient=update.patient,
        date=update.date,
    )

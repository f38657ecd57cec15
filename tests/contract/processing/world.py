"""Stand-ins beside the real queue: documents as their service publishes them, and an index in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np

from domain.access import Sensitivity
from domain.documents import DocumentState
from domain.errors import StorageFull, Unavailable
from domain.jobs import Lease
from domain.search import DeleteDocument, Generation, GenerationState, IndexOperation, PutDocument
from domain.text import Annotation, Passage
from models.artefacts import dump_annotation, dump_vectors
from stores.ports import WriteReport
from stores.search.errors import lost

GENERATION = Generation("g1", "encoder@1", 4, "1")


class Documents:
    """The published view, in memory."""

    def __init__(self) -> None:
        self.known: dict[UUID, DocumentState] = {}

    def put(self, document_id: UUID, **fields: Any) -> DocumentState:
        """The document's state, new or changed."""
        fresh = DocumentState(
            document_id=document_id,
            version=1,
            revision=1,
            deleted=False,
            filename="letter.txt",
            title="",
            document_type="other",
            document_date=None,
            patient=None,
            department=None,
            owner_id=UUID(int=7),
            sensitivity=Sensitivity.NORMAL,
            access_list=frozenset({"user:7"}),
        )
        self.known[document_id] = replace(self.known.get(document_id, fresh), **fields)
        return self.known[document_id]

    async def states(self, document_ids: Sequence[UUID]) -> dict[UUID, DocumentState]:
        return {key: self.known[key] for key in document_ids if key in self.known}


class MemoryIndex:
    """Keeps the last operation of each document; refuses or is away when told to."""

    def __init__(self) -> None:
        self.made: dict[str, Generation] = {}
        self.documents: dict[UUID, IndexOperation] = {}
        self.batches: list[list[IndexOperation]] = []
        self.away = False
        self.full = False
        self.lost = False
        self.refuses: set[UUID] = set()

    async def create(self, generation: Generation) -> None:
        self._reach()
        self.made.setdefault(generation.name, generation)
        self.lost = False

    async def generations(self) -> list[Generation]:
        self._reach()
        return list(self.made.values())

    async def promote(self, name: str) -> None:
        self.made[name] = replace(self.made[name], state=GenerationState.LIVE)

    async def write(self, generation: str, operations: Sequence[IndexOperation]) -> WriteReport:
        self._reach()
        if any(_document(operation) in self.refuses for operation in operations):
            raise RuntimeError("partial bulk error")
        if self.lost:
            raise lost()
        if operations:
            self.batches.append(list(operations))
        for operation in operations:
            if isinstance(operation, DeleteDocument):
                self.documents.pop(operation.document_id, None)
            else:
                self.documents[_document(operation)] = operation
        return WriteReport(len(operations))

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("The index cannot be reached.", code="store.index_unavailable")
        if self.full:
            raise StorageFull("There is no room for the index.")


def _document(operation: IndexOperation) -> UUID:
    return operation.root.document_id if isinstance(operation, PutDocument) else operation.document_id


def artefacts_of(lease: Lease, text: str = "No evidence of pneumonia.") -> dict[str, bytes]:
    """Contents of the annotate and embed artefacts of a document with one passage."""
    passages = (Passage(0, 1, 0, len(text), None, text),)
    vectors = np.full((1, GENERATION.dimension), 0.5, dtype=np.float32)
    return {
        "annotate": dump_annotation(Annotation((), passages, (), ("m@1",))),
        "embed": dump_vectors(vectors, encoder=GENERATION.encoder),
    }

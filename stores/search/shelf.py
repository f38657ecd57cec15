"""Tantivy on disk: two indexes a generation, `roots` and `passages`, for many reading processes and one writing.

They are apart so that BM25 knows documents and passages by statistics of their own. Tantivy cannot commit both at
once, hence one rule: **the commit of `roots` decides**. What a root needs (its passages here, its vectors in
Postgres) is written before it, under the slot of its version, and what it replaces is removed after it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from uuid import UUID

import tantivy

from domain.errors import StorageFull, Unavailable
from stores.search import records, shelf_documents
from stores.search.batch import Change, Indexed
from stores.search.errors import lost

SYSTEM_NUMBER = re.compile(r"(?:os error|code:) (\d+)")
"""How tantivy's messages, made for people and for programmers, name an error of the system."""

READS_ROOTS = ("high", "low", "version", "revision", "slot")


class Found(NamedTuple):
    """A root that a search found."""

    document_id: UUID
    version: int
    revision: int
    slot: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Roots and the passages that belong to them, as of one moment."""

    roots: tantivy.Searcher
    passages: tantivy.Searcher
    marker: tuple[int, int]

    def found(self, addresses: Sequence[tantivy.DocAddress]) -> list[Found]:
        """Identity of the roots at `addresses`, in their order."""
        columns = (self.roots.fast_field_values(name, list(addresses)) for name in READS_ROOTS)
        return [
            Found(UUID(int=(high << 64) | low), version, revision, slot)
            for high, low, version, revision, slot in zip(*columns, strict=True)
        ]


class Shelf:
    """One tantivy index as its readers see it: always the last commit."""

    def __init__(self, folder: Path) -> None:
        self._meta = folder / "meta.json"
        self._lock = Lock()
        self._seen = self.marker()
        self.index = tantivy.Index.open(str(folder))
        self.index.config_reader("manual")
        self.index.reload()

    def marker(self) -> tuple[int, int]:
        """Changes with every commit; raises `Unavailable` when the folder is gone."""
        try:
            status = self._meta.stat()
        except FileNotFoundError as error:
            raise lost() from error
        return status.st_ino, status.st_mtime_ns

    def searcher(self) -> tantivy.Searcher:
        with self._lock:
            marker = self.marker()
            if marker != self._seen:
                self.index.reload()
                self._seen = marker
            return self.index.searcher()


class Shelves:
    """The reading side of one generation. Methods block: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        try:
            self.roots = Shelf(folder / "roots")
            self.passages = Shelf(folder / "passages")
        except ValueError as error:
            raise lost() from error

    def snapshot(self) -> Snapshot:
        """Passages are removed only after a commit of roots: while there was none, these belong together."""
        while True:
            marker = self.roots.marker()
            snapshot = Snapshot(self.roots.searcher(), self.passages.searcher(), marker)
            if self.roots.marker() == marker:
                return snapshot

    def indexed(self, documents: Sequence[UUID]) -> dict[UUID, Indexed]:
        """What the index holds of the documents, tombstones included."""
        searcher = self.roots.searcher()
        schema = self.roots.index.schema
        held: dict[UUID, Indexed] = {}
        for document_id in set(documents):
            query = tantivy.Query.term_query(schema, "document", document_id.hex)
            for _, address in searcher.search(query, 1).hits:
                held[document_id] = shelf_documents.indexed(searcher.doc(address))
        return held


class Writers:
    """The writing side of one generation, for one batch: holds tantivy's locks until closed. Methods block.

    Raises `Unavailable` when another process writes or the disk fails, `StorageFull` when there is no room.
    """

    def __init__(self, shelves: Shelves, *, heap_bytes: int = 30_000_000) -> None:
        self._roots = _writer(shelves.roots, heap_bytes)
        self._passages = _writer(shelves.passages, heap_bytes)
        self._schema = shelves.passages.index.schema

    def add_passages(self, changes: Sequence[Change]) -> None:
        """Durably add the passages of new versions, invisible until their roots are committed."""
        for change in changes:
            root = change.after.root
            if root and change.passages is not None:
                slot = records.slot(root.document_id, root.version)
                # by query: delete_documents_by_term never finds a number in an unsigned field
                self._passages.delete_documents_by_query(tantivy.Query.term_query(self._schema, "slot", slot))
                for passage in change.passages:
                    _add(self._passages, shelf_documents.passage_document(root, slot, passage))
        _commit(self._passages)

    def put_roots(self, changes: Sequence[Change]) -> None:
        """Make the changes visible, all at once."""
        for change in changes:
            self._roots.delete_documents_by_term("document", change.document_id.hex)
            _add(self._roots, shelf_documents.root_document(change))
        _commit(self._roots)

    def sweep(self, changes: Sequence[Change]) -> None:
        """Remove passages of versions that are not the documents' own any more."""
        for change in changes:
            theirs = tantivy.Query.term_query(self._schema, "document", change.document_id.hex)
            kept = [tantivy.Query.term_query(self._schema, "slot", slot) for slot in slots([change])]
            clauses = [(tantivy.Occur.Must, theirs), *((tantivy.Occur.MustNot, own) for own in kept)]
            self._passages.delete_documents_by_query(tantivy.Query.boolean_query(clauses))
        _commit(self._passages)

    def close(self) -> None:
        """Forget what was not committed, finish merges, release the locks."""
        self._roots.wait_merging_threads()
        self._passages.wait_merging_threads()


def slots(changes: Sequence[Change]) -> list[int]:
    """The slots that are in use after the changes."""
    return [records.slot(root.document_id, root.version) for change in changes if (root := change.after.root)]


def create(folder: Path) -> None:
    """Make the two empty indexes unless they exist."""
    for name, schema in (
        ("roots", shelf_documents.roots_schema()),
        ("passages", shelf_documents.passages_schema()),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        tantivy.Index(schema, path=str(folder / name))


def _writer(shelf: Shelf, heap_bytes: int) -> tantivy.IndexWriter:
    try:
        return shelf.index.writer(heap_bytes, 1)
    except ValueError as error:
        shelf.marker()  # says when it is the folder that is gone
        raise Unavailable(
            "Another process writes to the search index.", code="search.index_locked", retry_after=5
        ) from error


def _add(writer: tantivy.IndexWriter, document: tantivy.Document) -> None:
    """A writer whose thread has died refuses every document; its commit says what it died of."""
    try:
        writer.add_document(document)
    except ValueError:
        _commit(writer)
        raise


def _commit(writer: tantivy.IndexWriter) -> None:
    try:
        writer.commit()
    except ValueError as error:
        if known := trouble(str(error)):
            raise known from error
        raise


def trouble(message: str) -> Unavailable | StorageFull | None:
    """What tantivy means: trouble of the disk carries the system's number; without one it is the documents' fault."""
    number = SYSTEM_NUMBER.search(message)
    if number is None:
        return None
    if int(number[1]) in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("There is no room for the search index.")
    return Unavailable("The search index cannot be written.", code="search.index_io", retry_after=5)

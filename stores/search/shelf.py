"""Tantivy on disk: two indexes a generation, `roots` and `passages`, for many reading processes and one writing.

They are apart so that BM25 knows documents and passages by statistics of their own. Tantivy cannot commit both at
once, hence one rule: **the commit of `roots` decides**. What a root needs (its passages here, its vectors in
Postgres) is written before it, under the slot of its version, and what it replaces is removed after it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

import tantivy

from domain.errors import Unavailable
from domain.search import PassageRecord, Root
from stores.search import records
from stores.search.batch import Change, Indexed

MISSING = "search.index_missing"

READS_ROOTS = ("high", "low", "version", "revision", "slot")


@dataclass(frozen=True, slots=True)
class Found:
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
                held[document_id] = _indexed(searcher.doc(address))
        return held


class Writers:
    """The writing side of one generation: holds tantivy's locks until closed. Methods block.

    Raises `Unavailable` when another process writes.
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
                    self._passages.add_document(_passage_document(root, slot, passage))
        self._passages.commit()

    def put_roots(self, changes: Sequence[Change]) -> None:
        """Make the changes visible, all at once."""
        for change in changes:
            self._roots.delete_documents_by_term("document", change.document_id.hex)
            self._roots.add_document(_root_document(change))
        self._roots.commit()

    def sweep(self, changes: Sequence[Change]) -> None:
        """Remove passages of versions that are not the documents' own any more."""
        for change in changes:
            theirs = tantivy.Query.term_query(self._schema, "document", change.document_id.hex)
            kept = [tantivy.Query.term_query(self._schema, "slot", slot) for slot in slots([change])]
            clauses = [(tantivy.Occur.Must, theirs), *((tantivy.Occur.MustNot, own) for own in kept)]
            self._passages.delete_documents_by_query(tantivy.Query.boolean_query(clauses))
        self._passages.commit()

    def rollback(self) -> None:
        """Forget what was not committed."""
        self._roots.rollback()
        self._passages.rollback()

    def close(self) -> None:
        """Finish merges and release the locks."""
        self._roots.wait_merging_threads()
        self._passages.wait_merging_threads()


def slots(changes: Sequence[Change]) -> list[int]:
    """The slots that are in use after the changes."""
    return [records.slot(root.document_id, root.version) for change in changes if (root := change.after.root)]


def create(folder: Path) -> None:
    """Make the two empty indexes unless they exist."""
    for name, schema in (("roots", _roots_schema()), ("passages", _passages_schema())):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        tantivy.Index(schema, path=str(folder / name))


def lost() -> Unavailable:
    return Unavailable(
        "The search index is missing. Rebuild it from the stored documents.", code=MISSING, retry_after=30
    )


def _writer(shelf: Shelf, heap_bytes: int) -> tantivy.IndexWriter:
    try:
        return shelf.index.writer(heap_bytes, 1)
    except ValueError as error:
        raise Unavailable(
            "Another process writes to the search index.", code="search.index_locked", retry_after=5
        ) from error


def _roots_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in (
        "document",
        "document_type",
        "department",
        "sections",
        "facet_concepts",
        "year",
        "newest",
        "oldest",
        "title",
    ):
        builder.add_text_field(name, fast=True, tokenizer_name="raw", index_option="basic")
    for name in ("access", "patient", "concepts"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("stems", "section_stems"):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="position")
    for name in ("number", "slot", "day"):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    for name in ("high", "low", "version", "revision", "passages"):
        builder.add_unsigned_field(name, fast=True)
    for name in ("card", "source"):
        builder.add_bytes_field(name, stored=True)
    return builder.build()


def _passages_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in ("document", "section", "own_concepts"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("passage_stems", tokenizer_name="whitespace", index_option="position")
    for name in ("slot", "ordinal"):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    builder.add_bytes_field("content", stored=True)
    return builder.build()


def _root_document(change: Change) -> tantivy.Document:
    document = tantivy.Document()
    identity = change.document_id
    document.add_text("document", identity.hex)
    for name, value in (
        ("number", records.number(identity)),
        ("high", identity.int >> 64),
        ("low", identity.int & (1 << 64) - 1),
        ("revision", change.after.revision),
        ("passages", change.after.passages),
    ):
        document.add_unsigned(name, value)
    root = change.after.root
    document.add_unsigned("version", root.version if root else 0)
    document.add_bytes("source", _source(change.after))
    if root:
        _fill(document, root)
    return document


def _fill(document: tantivy.Document, root: Root) -> None:
    document.add_unsigned("slot", records.slot(root.document_id, root.version))
    for name, values in _keywords(root).items():
        for value in values:
            document.add_text(name, value)
    document.add_text("stems", root.stems)
    document.add_text("section_stems", " ".join(root.section_stems))
    if root.date:
        document.add_unsigned("day", root.date.toordinal())
    document.add_bytes("card", json.dumps(_card(root)).encode())


def _keywords(root: Root) -> dict[str, Sequence[str]]:
    return {
        "access": sorted(set(root.access)),
        "document_type": [root.document_type],
        "department": [root.department] if root.department is not None else [],
        "patient": [root.patient] if root.patient is not None else [],
        "year": [str(root.date.year)] if root.date else [],
        "sections": sorted(set(root.sections)),
        "concepts": sorted(set(root.concepts)),
        "facet_concepts": records.facet_concepts(root),
        **{order.value: [key] for order, key in records.order_keys(root).items()},
    }


def _card(root: Root) -> list[Any]:
    return [root.title, root.document_type, root.patient, root.date.isoformat() if root.date else None]


def _passage_document(root: Root, slot: int, passage: PassageRecord) -> tantivy.Document:
    document = tantivy.Document()
    document.add_text("document", root.document_id.hex)
    document.add_unsigned("slot", slot)
    document.add_unsigned("ordinal", passage.ordinal)
    document.add_text("passage_stems", passage.stems)
    if passage.section is not None:
        document.add_text("section", passage.section)
    for concept in sorted(set(passage.concepts)):
        document.add_text("own_concepts", concept)
    document.add_bytes("content", records.dump_passage(passage).encode())
    return document


def _source(state: Indexed) -> bytes:
    root = records.dump_root(state.root) if state.root else None
    content = {"revision": state.revision, "passages": state.passages, "root": root}
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode())


def _indexed(document: tantivy.Document) -> Indexed:
    source = json.loads(zlib.decompress(bytes(document.get_first("source"))))
    root = records.load_root(source["root"]) if source["root"] else None
    return Indexed(source["revision"], root, source["passages"])

"""Roots and passages as tantivy's documents: the schemas of both indexes and what fills them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import tantivy

from domain.search import PassageRecord, Root
from stores.search import records
from stores.search.batch import Change, Indexed


def roots_schema() -> tantivy.Schema:
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


def passages_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in ("document", "section", "own_concepts"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("passage_stems", tokenizer_name="whitespace", index_option="position")
    for name in ("slot", "ordinal"):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    builder.add_bytes_field("content", stored=True)
    return builder.build()


def root_document(change: Change) -> tantivy.Document:
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
    document.add_text("section_stems", records.section_words(root))
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


def passage_document(root: Root, slot: int, passage: PassageRecord) -> tantivy.Document:
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


def indexed(document: tantivy.Document) -> Indexed:
    source = json.loads(zlib.decompress(bytes(document["source"][0])))
    root = records.load_root(source["root"]) if source["root"] else None
    return Indexed(source["revision"], root, source["passages"])

"""Elasticsearch: the mapping, and roots and passages as its documents.

One index a generation holds roots and passages, told apart by `kind`; both are routed by document, so that one
refresh shows a document's new root and passages at once. Passages repeat the filter fields of their root, because
vector search can only filter on the record that carries the vector.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from domain.search import Generation, PassageRecord, Root
from stores.search import records
from stores.search.batch import Change, Indexed

Source = dict[str, Any]

KEYWORDS = (
    "kind", "document", "key", "access", "document_type", "department", "patient", "sections", "concepts", "section",
    "own_concepts", "facet_concepts", "year", "newest", "oldest", "title",
)  # fmt: skip
NUMBERS = ("version", "revision", "passages", "ordinal", "day")
WORDS = ("stems", "section_stems", "passage_stems")
KEPT = ("record", "content")
"""Only given back, never searched."""


def index_body(generation: Generation, *, shards: int, replicas: int) -> Source:
    """Settings and mappings of a generation's index."""
    properties: Source = {name: {"type": "keyword"} for name in KEYWORDS}
    properties |= {name: {"type": "long"} for name in NUMBERS}
    properties |= {name: {"type": "text", "analyzer": "whitespace"} for name in WORDS}
    properties |= {name: {"type": "keyword", "index": False, "doc_values": False} for name in KEPT}
    properties["embedding"] = {
        "type": "dense_vector",
        "dims": generation.dimension,
        "similarity": "cosine",
        "index_options": {"type": "int8_hnsw", "rescore_vector": {"oversample": 2.0}},
    }
    meta = {
        "encoder": generation.encoder,
        "dimension": generation.dimension,
        "analysis": generation.analysis,
        "source": generation.source,
    }
    return {
        "settings": {
            "number_of_shards": shards,
            "number_of_replicas": replicas,
            "refresh_interval": "-1",
            "similarity": {"default": {"type": "BM25", "k1": 1.2, "b": 0.75}},
        },
        "mappings": {"dynamic": "strict", "_meta": meta, "properties": properties},
    }


def root_id(document_id: UUID) -> str:
    return document_id.hex


def key(document_id: UUID, version: int) -> str:
    """What the passages of one version share."""
    return f"{document_id.hex}:{version}"


def passage_id(document_id: UUID, version: int, ordinal: int) -> str:
    return f"{key(document_id, version)}:{ordinal}"


def root_source(change: Change) -> Source:
    """The root's document; that of a deleted one remembers the revision and matches no access filter."""
    root = change.after.root
    source: Source = {
        "kind": "root",
        "document": change.document_id.hex,
        "version": root.version if root else 0,
        "revision": change.after.revision,
        "passages": change.after.passages,
    }
    if root is None:
        return source
    return (
        source
        | filter_fields(root)
        | {order.value: value for order, value in records.order_keys(root).items()}
        | {
            "facet_concepts": records.facet_concepts(root),
            "year": str(root.date.year) if root.date else None,
            "stems": root.stems,
            "section_stems": records.section_words(root),
            "record": json.dumps(records.dump_root(root), separators=(",", ":")),
        }
    )


def passage_source(root: Root, passage: PassageRecord) -> Source:
    return filter_fields(root) | {
        "kind": "passage",
        "document": root.document_id.hex,
        "key": key(root.document_id, root.version),
        "version": root.version,
        "ordinal": passage.ordinal,
        "section": passage.section,
        "own_concepts": sorted(set(passage.concepts)),
        "passage_stems": passage.stems,
        "content": records.dump_passage(passage),
        "embedding": passage.vector.tolist(),
    }


def filter_fields(root: Root) -> Source:
    """What access and filters are decided on."""
    return {
        "access": sorted(set(root.access)),
        "document_type": root.document_type,
        "department": root.department,
        "patient": root.patient,
        "day": root.date.toordinal() if root.date else None,
        "sections": sorted(set(root.sections)),
        "concepts": sorted(set(root.concepts)),
    }


def indexed(source: Source) -> Indexed:
    """What `root_source` made."""
    record = source.get("record")
    root = records.load_root(json.loads(record)) if record else None
    return Indexed(source["revision"], root, source["passages"])

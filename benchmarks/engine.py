"""The search engine without HTTP: timed in this process, and filled to any size through its port."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks.client import Latency
from cluster.demo.generate import DemoDocument, corpus
from cluster.servers import postgres
from config.loading import load_settings
from config.secrets import SecretStore
from config.settings import Settings
from domain.access import Sensitivity, default_access
from domain.documents import DocumentState
from domain.ids import new_id
from domain.search import AccessFilter, Filters, GenerationState, LexicalQuery, PutDocument
from domain.text import Extraction
from models.annotation import load_annotator
from models.embedding import load_embedder
from models.expansion import VocabularyNames
from models.extraction import extract
from models.query import ConceptNames, parse
from models.records import index_records
from models.terminology import ensure_vocabulary
from stores.postgres import Postgres
from stores.search import open_index
from stores.visibility import PostgresVisibility, Visible
from tests.platform import platform_environment

BASE = 100
"""Documents that go through the models; the others are copies with an id, a patient and noise in the vectors."""
NOISE = 0.02
BATCH = 200


async def owner_id(settings: Settings, secrets: SecretStore, username: str) -> UUID:
    async with Postgres.of(settings, secrets, "auth").connection() as connection:
        found: UUID = await connection.fetchval("SELECT id FROM account WHERE username = $1", username)
    return found


async def bare_engine(
    settings: Settings, secrets: SecretStore, username: str, queries: Sequence[str], times: int
) -> dict[str, Any]:
    """Milliseconds of the words leg, of the vector leg and of embedding a query, each alone."""
    access = AccessFilter(frozenset({f"user:{await owner_id(settings, secrets, username)}", "role:doctor"}))
    index = open_index(settings, secrets)
    embedder = load_embedder(settings.models, queries=True)
    names = VocabularyNames(ensure_vocabulary(settings.models_path))
    asked = [_lexical(query, names, settings.search.query_clauses) for query in queries]
    figures: dict[str, list[float]] = {"lexical": [], "semantic": [], "embedding": []}
    for number in range(times + 10):
        began = time.perf_counter()
        vector = embedder.embed([queries[number % len(queries)]])[0]
        embedded = time.perf_counter()
        await index.lexical(asked[number % len(asked)], access, limit=10)
        lexical = time.perf_counter()
        await index.semantic(vector, access, filters=Filters(), limit=settings.search.window)
        ended = time.perf_counter()
        for name, seconds in (
            ("embedding", embedded - began),
            ("lexical", lexical - embedded),
            ("semantic", ended - lexical),
        ):
            figures[name].append(seconds)
    visible = await index.visible_passages(access)
    await index.close()
    return {
        "visible_passages": visible,
        **{name: asdict(Latency.of(values[10:])) for name, values in figures.items()},
    }


def _lexical(query: str, names: ConceptNames, max_clauses: int) -> LexicalQuery:
    parsed = parse(query, max_clauses=max_clauses, names=names)
    return LexicalQuery(parsed.clauses, Filters(), parsed.minimum)


async def fill(data_dir: Path, passages: int, seed: int, username: str) -> dict[str, Any]:
    """Bring the index of a stopped platform to about `passages` passages that `username` may see."""
    settings = load_settings(platform_environment(data_dir)).settings
    secrets = SecretStore(settings.secrets_path)
    server = postgres.start(settings, data_dir / "logs" / "bench-postgres.log")
    try:
        await postgres.wait_until_ready(settings, secrets)
        owner = await owner_id(settings, secrets, username)
        index = open_index(settings, secrets, writer=True)
        visibility = PostgresVisibility(Postgres.of(settings, secrets, "search"))
        live = next(one for one in await index.generations() if one.state is GenerationState.LIVE)
        began, written, documents = time.perf_counter(), 0, 0
        batch: list[PutDocument] = []
        for put in _copies(settings, owner, seed):
            batch.append(put)
            written += len(put.passages)
            documents += 1
            if len(batch) == BATCH or written >= passages:
                await index.write(live.name, batch)
                await visibility.raise_to([Visible(p.root.document_id, 1, 1, p.root.access) for p in batch])
                batch = []
            if written >= passages:
                break
        await index.close()
        return {"documents": documents, "passages": written, "seconds": round(time.perf_counter() - began, 1)}
    finally:
        server.send_signal(signal.SIGINT)  # the fast shutdown: SIGTERM would wait for our own pools
        server.wait(30)


def _copies(settings: Settings, owner: UUID, seed: int) -> Iterator[PutDocument]:
    dice = np.random.default_rng(seed)
    originals = list(_originals(settings, owner, seed))
    while True:
        for put in originals:
            identifier = new_id()
            passages = tuple(replace(one, vector=_shaken(one.vector, dice)) for one in put.passages)
            yield PutDocument(replace(put.root, document_id=identifier), passages)


def _shaken(vector: Any, dice: np.random.Generator) -> Any:
    moved = vector + dice.normal(0, NOISE, vector.shape).astype(np.float32)
    return moved / np.linalg.norm(moved)


def _originals(settings: Settings, owner: UUID, seed: int) -> Iterator[PutDocument]:
    annotator = load_annotator(settings.models, cache_dir=settings.models_path)
    embedder = load_embedder(settings.models)
    for document in corpus(BASE, seed=seed + 1):
        annotation = annotator.annotate(_extracted(document))
        vectors = embedder.embed([passage.text for passage in annotation.passages])
        yield index_records(_state(document, owner), annotation, vectors)


def _extracted(document: DemoDocument) -> Extraction:
    with tempfile.NamedTemporaryFile() as file:
        file.write(document.content)
        file.flush()
        extraction = extract(Path(file.name), max_pages=100)
    assert isinstance(extraction, Extraction)
    return extraction


def _state(document: DemoDocument, owner: UUID) -> DocumentState:
    return DocumentState(
        document_id=new_id(),
        version=1,
        revision=1,
        deleted=False,
        filename=document.filename,
        title=document.title,
        document_type=document.document_type,
        document_date=document.document_date,
        patient=document.patient,
        department=None,
        owner_id=owner,
        sensitivity=Sensitivity.NORMAL,
        access_list=default_access(str(owner), patient=document.patient, department=None),
    )

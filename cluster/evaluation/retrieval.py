"""`medsearch evaluate retrieval`: a test collection through the product's own models, index and fusion.

Everything happens on an embedded index in a temporary folder; the platform need not run and is not touched.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

import numpy as np
from rich.progress import Progress

from cluster import databases
from cluster.platform.schemas import make_databases
from cluster.servers import postgres
from config.secrets import SecretStore
from config.settings import PostgresSettings, Settings
from deployments.search.legs import Legs
from deployments.search.question import Question, understand
from deployments.search.ranking import Ranking
from deployments.search.schemas import Mode, SearchRequest
from domain.access import Sensitivity
from domain.documents import DocumentState
from domain.errors import Invalid
from domain.search import AccessFilter, Generation, PutDocument, Vector
from domain.text import Extraction, Page
from models import analysis
from models.annotation import Annotator, load_annotator
from models.embedding import Embedder, load_embedder
from models.evaluation.retrieval import Collection, CorpusDocument, ndcg
from models.expansion import VocabularyNames
from models.query import ConceptNames
from models.records import index_records
from models.terminology import ensure_vocabulary
from stores.postgres import Postgres
from stores.search.embedded import EmbeddedIndex

OWNER = UUID("0190aaaa-0000-7000-8000-00000000e7a1")
READER = f"user:{OWNER}"
DEPTH = 100
BATCH = 200


async def rank_collection(
    settings: Settings, collection: Collection, modes: Sequence[Mode], progress: Progress
) -> dict[Mode, dict[str, list[str]]]:
    """For each mode and judged question the ids of the best documents, at most 100, best first.

    A document's page is its title and text, as it would stand in a file. The settings are those of the
    platform, but for servers and folders.
    """
    annotator = load_annotator(settings.models, cache_dir=settings.models_path)
    embedder = load_embedder(settings.models)
    names = VocabularyNames(ensure_vocabulary(settings.models_path))
    async with _empty_index(settings, embedder) as index:
        await _fill(index, collection, annotator, embedder, progress)
        asking = Asking(settings, index, load_embedder(settings.models, queries=True), names)
        ranked: dict[Mode, dict[str, list[str]]] = {}
        for mode in modes:
            task = progress.add_task(f"Asking, {mode}", total=len(collection.grades))
            ranked[mode] = {}
            for key in collection.grades:
                try:
                    ids = await asking.best(collection.queries[key], mode)
                except Invalid as error:
                    progress.console.print(f"question {key} counts as not answered: {error}")
                    ids = []
                ranked[mode][key] = [collection.documents[one.int].identity for one in ids]
                progress.advance(task)
        return ranked


def listing(rankings: Mapping[str, Sequence[str]], collection: Collection) -> Iterator[str]:
    """A line for each question that was not answered perfectly, the worst first: tab-separated."""
    yield "ndcg_at_10\tquery\ttext\tfirst\tmissed\n"
    rows = []
    for key, grades in collection.grades.items():
        ranking = rankings.get(key, ())
        if (reached := ndcg(ranking, grades)) < 1:
            first = list(ranking[:10])
            missed = sorted(grades.keys() - set(first), key=lambda name: (-grades[name], name))
            rows.append((reached, key, first, missed))
    for reached, key, first, missed in sorted(rows):
        text = " ".join(collection.queries[key].split())
        yield f"{reached:.4f}\t{key}\t{text}\t{' '.join(first)}\t{' '.join(missed)}\n"


class Asking:
    """Questions as the search service ranks them, without access, audit and pages."""

    def __init__(
        self, settings: Settings, index: EmbeddedIndex, embedder: Embedder, names: ConceptNames
    ) -> None:
        self._settings = settings
        self._index = index
        self._generation = _generation(embedder)
        self._names = names
        encoder = _InProcess(embedder)
        self._ranking = Ranking(Legs(index, encoder, settings.search), index, settings.search)

    async def best(self, query: str, mode: Mode) -> list[UUID]:
        """The best documents, at most `DEPTH`. Raises `Invalid` for a query over the limits."""
        request = SearchRequest(query=query, mode=mode)
        question = understand(
            request,
            AccessFilter(frozenset({READER})),
            "evaluation",
            self._names,
            self._settings.search,
            self._generation,
        )
        return await self._of(question)

    async def _of(self, question: Question) -> list[UUID]:
        if question.windowed:
            window = await self._ranking.window(question)
            return [entry.document_id for entry in window.entries[:DEPTH]]
        found = await self._index.lexical(question.query, question.access, limit=DEPTH)
        return [hit.document_id for hit in found.hits]


class _InProcess:
    """`stores.ports.QueryEncoding` without a deployment."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def encode(self, text: str, encoder: str) -> Vector:
        (vector,) = self._embedder.embed([text])
        return np.asarray(vector, dtype=np.float32)


@asynccontextmanager
async def _empty_index(settings: Settings, embedder: Embedder) -> AsyncIterator[EmbeddedIndex]:
    with tempfile.TemporaryDirectory(prefix="medsearch-evaluation-") as folder:
        own = settings.model_copy(
            update={"data_dir": Path(folder), "secrets_dir": None, "postgres": PostgresSettings()}
        )
        secrets = SecretStore(own.secrets_path)
        postgres.prepare(own, secrets)
        server = postgres.start(own, own.data_dir / "postgres.log")
        try:
            await _prepare(own, secrets)
            index = EmbeddedIndex(
                own.index_path,
                Postgres.of(own, secrets, "search"),
                True,
                exact_below=own.search.exact_below_passages,
            )
            try:
                await index.create(_generation(embedder))
                await index.promote("evaluation")
                yield index
            finally:
                await index.close()
        finally:
            server.send_signal(signal.SIGINT)
            await asyncio.to_thread(server.wait, 30)


def _generation(embedder: Embedder) -> Generation:
    return Generation("evaluation", embedder.name, embedder.dimension, analysis.VERSION)


async def _prepare(settings: Settings, secrets: SecretStore) -> None:
    await postgres.wait_until_ready(settings, secrets)
    await make_databases(settings, secrets)
    await databases.migrate(settings, secrets, "search")


async def _fill(
    index: EmbeddedIndex,
    collection: Collection,
    annotator: Annotator,
    embedder: Embedder,
    progress: Progress,
) -> None:
    task = progress.add_task("Indexing", total=len(collection.documents))
    numbered = iter(enumerate(collection.documents))
    while batch := list(islice(numbered, BATCH)):
        records = await asyncio.to_thread(lambda some: list(_records(some, annotator, embedder)), batch)
        await index.write("evaluation", records)
        progress.advance(task, len(batch))


def _records(
    batch: Sequence[tuple[int, CorpusDocument]], annotator: Annotator, embedder: Embedder
) -> Iterator[PutDocument]:
    annotated = [(number, document, annotator.annotate(_extraction(document))) for number, document in batch]
    vectors = embedder.embed([passage.text for *_, each in annotated for passage in each.passages])
    start = 0
    for number, document, annotation in annotated:
        end = start + len(annotation.passages)
        yield index_records(_state(number, document), annotation, vectors[start:end])
        start = end


def _extraction(document: CorpusDocument) -> Extraction:
    text = f"{document.title}\n\n{document.text}" if document.title else document.text
    return Extraction("text/plain", (Page(1, text),))


def _state(number: int, document: CorpusDocument) -> DocumentState:
    return DocumentState(
        document_id=UUID(int=number),
        version=1,
        revision=1,
        deleted=False,
        filename=document.identity,
        title=document.title,
        document_type="article",
        document_date=datetime(2000, 1, 1, tzinfo=UTC).date(),
        patient=None,
        department=None,
        owner_id=OWNER,
        sensitivity=Sensitivity.NORMAL,
        access_list=frozenset({READER}),
    )

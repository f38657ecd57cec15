"""The embedded index by itself: writing, and the time of each question at several sizes and shares of visibility.

    python -m benchmarks.bench_index --passages 50000

Documents have three passages of some 80 words (Zipf) and vectors around topics, 384 components as MiniLM has. The
cost figures in `stores.search.vectors` come from the last two lines.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from domain.ids import new_id
from domain.search import (
    AccessFilter,
    Clause,
    Filters,
    Generation,
    LexicalQuery,
    PassageRecord,
    PutDocument,
    Root,
)
from stores.postgres import Postgres
from stores.search.embedded import EmbeddedIndex
from stores.search.reading import Reading
from stores.search.vectors import PLANNING, VectorTable
from tests.servers import running_servers

DIMENSION = 384
PASSAGES = 3
SHARES = (0.001, 0.05, 0.5, 1.0)
GENERATION = Generation("bench", "seeded@1", DIMENSION, "1")


class Corpus:
    """Seeded documents."""

    def __init__(self, passages: int) -> None:
        self.documents = passages // PASSAGES
        self._rng = np.random.default_rng(1)
        self._topics = self._rng.normal(size=(100, DIMENSION))
        self._words = np.array([f"w{number}" for number in range(20_000)])
        weights = 1 / np.arange(1, 20_001)
        self._weights = weights / weights.sum()

    def document(self, number: int) -> PutDocument:
        identity = new_id()
        passages = tuple(self._passage(ordinal) for ordinal in range(PASSAGES))
        concepts = tuple(sorted({f"ICD10CM:{c}#affirmed" for c in self._rng.integers(0, 1500, 15)}))
        access = [f"share:{share}" for share in SHARES if number % round(1 / share) == 0]
        root = Root(
            document_id=identity,
            version=1,
            revision=1,
            access=tuple(access),
            title=f"Letter {number}",
            document_type=("radiology", "referral", "article")[number % 3],
            department=f"d{number % 20}",
            patient=f"H|{number % 500}",
            date=date(2015, 1, 1) + timedelta(days=number % 3000),
            stems=" ".join(passage.stems for passage in passages),
            sections=("findings",),
            concepts=concepts,
            section_stems=(),
            facet_concepts=concepts,
        )
        return PutDocument(root, passages)

    def vector(self) -> np.ndarray:
        vector = self._topics[self._rng.integers(100)] + self._rng.normal(size=DIMENSION)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def query(self, words: int = 3) -> LexicalQuery:
        stems = [f"w{number}" for number in self._rng.integers(20, 2000, words)]
        return LexicalQuery(tuple(Clause((stem,)) for stem in stems))

    def _passage(self, ordinal: int) -> PassageRecord:
        words = " ".join(self._rng.choice(self._words, 80, p=self._weights))
        return PassageRecord(ordinal, 1, "findings", 0, len(words), words, words, (), (), self.vector())


async def p50(name: str, ask: Callable[[], Awaitable[object]], times: int = 25) -> float:
    await ask()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - start) * 1000)
    median = sorted(taken)[times // 2]
    print(f"{name:44} p50 {median:7.2f} ms   min {min(taken):7.2f} ms", flush=True)
    return median


async def fill(index: EmbeddedIndex, corpus: Corpus) -> None:
    await index.create(GENERATION)
    await index.promote(GENERATION.name)
    start, spent = time.perf_counter(), 0.0
    for first in range(0, corpus.documents, 64):
        batch = [corpus.document(number) for number in range(first, min(first + 64, corpus.documents))]
        before = time.perf_counter()
        await index.write(GENERATION.name, batch)
        spent += time.perf_counter() - before
    print(
        f"written: {corpus.documents} documents, {corpus.documents / spent:.0f} documents/s ({time.perf_counter() - start:.0f} s)"
    )


async def ask(index: EmbeddedIndex, corpus: Corpus, share: float) -> None:
    access = AccessFilter(frozenset({f"share:{share}"}))
    label = f"{share:7.1%} "
    for limit in (10, 1000):
        await p50(
            f"{label}lexical, limit {limit}",
            lambda limit=limit: index.lexical(corpus.query(), access, limit=limit),
        )
    for limit in (50, 200, 1000):
        await p50(
            f"{label}semantic, limit {limit}",
            lambda limit=limit: index.semantic(corpus.vector(), access, filters=Filters(), limit=limit),
        )
    hits = (await index.lexical(corpus.query(), access, limit=1000)).hits
    ids = [hit.document_id for hit in hits]
    facets = ["concept", "document_type", "year"]
    await p50(
        f"{label}facets, also {len(ids)}",
        lambda: index.facets(corpus.query(), access, facets=facets, also=ids),
    )
    within = LexicalQuery(corpus.query().clauses, within=frozenset(ids))
    await p50(f"{label}lexical within {len(ids)}", lambda: index.lexical(within, access, limit=1000))
    await p50(f"{label}roots, 10", lambda: index.roots(ids[:10], access))
    await p50(
        f"{label}passages of 10",
        lambda: index.passages(
            corpus.query(), access, documents=ids[:10], ordinals={one: [0] for one in ids[:10]}
        ),
    )


async def costs(index: EmbeddedIndex, database: Postgres, corpus: Corpus) -> None:
    """What one compared row and one visited row cost, for `exact_is_better`."""
    table = VectorTable(database, GENERATION)
    shelves = await index._opened(GENERATION.name)  # noqa: SLF001 - measures the parts
    reading = Reading(shelves)
    for share in SHARES[1:]:
        access = AccessFilter(frozenset({f"share:{share}"}))
        slots = list(reading.selection(access, Filters()))
        taken = await p50(
            f"exact, {len(slots)} documents", lambda slots=slots: table.within(corpus.vector(), slots, 200)
        )
        print(f"   {taken * 1000 / len(slots) / PASSAGES:.2f} us a row compared")
        await p50(
            f"   of it: slots of {share:.0%}",
            lambda access=access: asyncio.to_thread(reading.selection, access, Filters()),
        )
    for limit in (100, 400, 1500, 4000):
        taken = await p50(f"graph, {limit} rows", lambda limit=limit: table.nearest(corpus.vector(), limit))
        print(f"   {taken * 1000 / limit:.2f} us a row visited")


async def run(passages: int, folder: Path, database: Postgres) -> None:
    corpus = Corpus(passages)
    index = EmbeddedIndex(folder, database, True)
    await fill(index, corpus)
    for share in SHARES:
        await ask(index, corpus, share)
    await costs(index, database, corpus)
    await index.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=50_000)
    passages = parser.parse_args().passages
    with running_servers() as servers:
        database = Postgres.of(servers.settings, servers.secrets, "search").tuned(**PLANNING)
        asyncio.run(run(passages, servers.settings.data_dir / "index", database))


if __name__ == "__main__":
    main()

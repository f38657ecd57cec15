"""Both backends answer alike: the same documents, counts and ranks for the same corpus and questions.

Scores differ in scale, and the engines round them differently: documents whose scores lie within `TIE` of each
other may change places.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from elasticsearch import AsyncElasticsearch

from config.secrets import SecretStore
from config.settings import Settings
from domain.search import Clause, Filters, LexicalQuery, LexicalResult, Occur, SortKey
from domain.text import Assertion
from stores.ports import SearchIndex
from stores.postgres import Postgres
from stores.search.elastic import ElasticsearchIndex
from stores.search.embedded import EmbeddedIndex
from tests.contract.conformance.letters import (
    ANNA,
    ASTHMA,
    DIMENSION,
    NEGATED,
    PNEUMONIA,
    Letter,
    Part,
    everything,
    normalised,
    phrase,
    words,
)
from tests.contract.conformance.search_steps import generation

pytestmark = pytest.mark.elasticsearch

TIE = 1e-5
WORDS = (
    "acute chronic left right lower lobe pneumonia effusion fever cough denies asthma infarction troponin raised"
    " normal patient reports history family chest radiograph lung pain breath discharge metformin daily"
).split()


def corpus() -> list[Letter]:
    rng = random.Random(5)
    return [_letter(rng, number) for number in range(250)]


def _letter(rng: random.Random, number: int) -> Letter:
    parts = [
        Part(
            " ".join(rng.choices(WORDS, k=rng.randrange(3, 40))),
            rng.choice(["findings", "impression", "plan", None]),
            [(rng.choice([PNEUMONIA, ASTHMA]), rng.choice([Assertion(), NEGATED]))]
            if rng.random() < 0.5
            else [],
        )
        for _ in range(rng.randrange(1, 5))
    ]
    return Letter(
        parts,
        title=" ".join(rng.choices(WORDS, k=3)),
        access=["user:anna"] if number % 3 else ["user:bert"],
        document_type=rng.choice(["radiology", "referral", "article"]),
        date=date(2018 + number % 7, 1 + number % 12, 3) if number % 5 else None,
    )


@pytest.fixture
async def both(
    settings: Settings, secrets: SecretStore, tmp_path: Path, elasticsearch_url: str
) -> AsyncIterator[tuple[SearchIndex, SearchIndex]]:
    """The same corpus in both, under one generation name."""
    name, letters = f"t{uuid4().hex[:8]}", corpus()
    async with AsyncElasticsearch([elasticsearch_url], request_timeout=60) as client:
        embedded = EmbeddedIndex(tmp_path, Postgres.of(settings, secrets, "search"), True)
        elastic = ElasticsearchIndex(client, name)
        for index in (embedded, elastic):
            await index.create(generation(name))
            for start in range(0, len(letters), 100):
                await index.write(name, [one.put for one in letters[start : start + 100]])
        yield embedded, elastic
        for index in (embedded, elastic):
            await index.drop(name)
        await embedded.close()


QUERIES = [
    words("pneumonia"),
    words("pneumonia fever", Occur.SHOULD),
    words("acute chest pain raised troponin", Occur.SHOULD),
    LexicalQuery(words("acute chest pain raised troponin", Occur.SHOULD).clauses, minimum=3),
    LexicalQuery((*words("fever").clauses, *words("cough asthma", Occur.SHOULD).clauses)),
    LexicalQuery((*words("fever").clauses, *words("cough", Occur.MUST_NOT).clauses)),
    phrase("left lower lobe"),
    phrase("lower lobe"),
    LexicalQuery(
        (Clause(("mi",), alternatives=(("infarct",), ("chest", "pain")), boost=2.0), Clause(("daili",)))
    ),
    words("pneumonia effusion", Occur.SHOULD, Filters(section=("impression",))),
    phrase("lung pain", Filters(section=("findings", "plan"))),
    words("fever", filters=Filters(document_type=("radiology", "article"), date_from=date(2020, 1, 1))),
    everything(),
]


async def test_words_rank_alike(both: tuple[SearchIndex, SearchIndex]) -> None:
    embedded, elastic = both
    (name,) = [g.name for g in await elastic.generations()]
    for query in QUERIES:
        one = await embedded.lexical(query, ANNA, limit=200, generation=name)
        other = await elastic.lexical(query, ANNA, limit=200, generation=name)
        assert one.total == other.total == len(one.hits)
        assert_same_order(one, other)


async def test_sort_orders_pages_and_facets_are_equal(both: tuple[SearchIndex, SearchIndex]) -> None:
    _, elastic = both
    (name,) = [g.name for g in await elastic.generations()]
    facets = ["concept", "document_type", "department", "year", "section"]
    for query in QUERIES:
        for sort in (SortKey.NEWEST, SortKey.OLDEST, SortKey.TITLE):
            lists = [
                await index.lexical(query, ANNA, limit=200, sort=sort, generation=name) for index in both
            ]
            assert [hit.document_id for hit in lists[0].hits] == [hit.document_id for hit in lists[1].hits]
        counts = [await index.facets(query, ANNA, facets=facets, size=3, generation=name) for index in both]
        assert counts[0] == counts[1]


async def test_passages_are_chosen_alike(both: tuple[SearchIndex, SearchIndex]) -> None:
    embedded, elastic = both
    (name,) = [g.name for g in await elastic.generations()]
    for query in QUERIES:
        hits = (await embedded.lexical(query, ANNA, limit=10, generation=name)).hits
        ids = [hit.document_id for hit in hits]
        chosen = [
            await index.passages(
                query, ANNA, documents=ids, ordinals={one: [0] for one in ids}, generation=name
            )
            for index in both
        ]
        assert chosen[0].keys() == chosen[1].keys() == set(ids)
        for document in ids:
            ordinals = [[passage.ordinal for passage in one[document]] for one in chosen]
            assert ordinals[0] == ordinals[1]


async def test_meaning_ranks_alike(both: tuple[SearchIndex, SearchIndex]) -> None:
    """Vectors are rounded, to halves here and to bytes there: near ties may change places."""
    _, elastic = both
    (name,) = [g.name for g in await elastic.generations()]
    rng = np.random.default_rng(3)
    for _ in range(10):
        vector = normalised(rng.normal(size=DIMENSION))
        lists = [
            await index.semantic(
                vector, ANNA, filters=Filters(document_type=("radiology",)), limit=20, generation=name
            )
            for index in both
        ]
        ids = [{hit.document_id for hit in hits} for hits in lists]
        assert len(ids[0] & ids[1]) >= 19
        exact = {hit.document_id: hit.similarity for hit in lists[0]}
        for hit in lists[1]:
            assert hit.similarity == pytest.approx(exact.get(hit.document_id, hit.similarity), abs=0.02)


def assert_same_order(one: LexicalResult, other: LexicalResult) -> None:
    """Equal but for near ties, judged by the first one's scores."""
    score = {hit.document_id: hit.score for hit in one.hits}
    assert set(score) == {hit.document_id for hit in other.hits}
    order = [score[hit.document_id] for hit in other.hits]
    for earlier, later in itertools.pairwise(order):
        assert later <= earlier * (1 + TIE)
    ties: dict[float, list[UUID]] = {}
    for hit in other.hits:
        ties.setdefault(hit.score, []).append(hit.document_id)
    assert all(ids == sorted(ids) for ids in ties.values())

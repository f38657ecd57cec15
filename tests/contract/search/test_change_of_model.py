"""Replicas that search while another model's generation is promoted: one switch for all, and no answer of two models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import cycle, groupby
from pathlib import Path
from uuid import UUID

import pytest

from config.secrets import SecretStore
from config.settings import ModelSettings, SearchSettings, Settings
from deployments.query_encoder.encoders import QueryEncoders
from deployments.search.schemas import Mode, SearchRequest
from domain.errors import Unavailable
from domain.ids import new_id
from domain.search import Generation, PutDocument, Vector
from models.embedding import TransformerEmbedder, load_embedder
from models.encoders import locate
from stores.postgres import Postgres
from stores.search.embedded import EmbeddedIndex
from tests.search_world import World, clinician, document
from tests.tiny_encoder import DIMENSION, tiny_encoder

COMPLAINTS = (
    "crushing chest pain",
    "fever with productive cough",
    "a swollen left calf",
    "an itching rash",
    "severe headache",
    "thirst and weight loss",
    "burning pain when passing urine",
    "a fall with a shortened leg",
)
REQUESTS = [
    SearchRequest(query="heart attack", mode=Mode.SEMANTIC),
    SearchRequest(query="infection of the lungs", mode=Mode.SEMANTIC),
    SearchRequest(query="shortened leg", mode=Mode.HYBRID),
]


class Encoding:
    """`stores.ports.QueryEncoding` as one deployment has it for all replicas."""

    def __init__(self, encoders: QueryEncoders) -> None:
        self._encoders = encoders

    async def encode(self, text: str, encoder: str) -> Vector:
        (vector,) = await self._encoders.encode_batch([text], [encoder])
        if vector is None:
            raise Unavailable("no such encoder")
        return vector


class Ward:
    """Two replicas, the index that is written, and generations by their encoders."""

    def __init__(self, writer: EmbeddedIndex, replicas: list[World], generations: list[Generation]) -> None:
        self.writer = writer
        self.replicas = replicas
        self.old, self.new = generations
        self.answers: list[tuple[int, tuple[UUID, ...]]] = []

    async def ask(self, number: int, replica: int) -> tuple[UUID, ...]:
        answer = await self.replicas[replica].service.search(REQUESTS[number], clinician())
        assert answer.degraded == []
        return tuple(hit.document_id for hit in answer.hits)

    async def asked(self) -> list[tuple[UUID, ...]]:
        """Every question's answer, which is the same from each replica."""
        answers = [[await self.ask(number, one) for number in range(len(REQUESTS))] for one in (0, 1)]
        assert answers[0] == answers[1]
        return answers[0]

    async def search_on(self) -> None:
        """The questions in turn, each time to the other replica, until cancelled."""
        for number, replica in zip(cycle(range(len(REQUESTS))), cycle((0, 1)), strict=False):
            self.answers.append((number, await self.ask(number, replica)))

    async def several(self, searching: asyncio.Task[None]) -> None:
        wanted = len(self.answers) + 4 * len(REQUESTS)
        while len(self.answers) < wanted:
            assert not searching.done(), searching.exception()
            await asyncio.sleep(0.01)


def by(embedder: TransformerEmbedder, put: PutDocument) -> PutDocument:
    """The same document with the vectors of this model."""
    vectors = embedder.embed([passage.text for passage in put.passages])
    passages = zip(put.passages, vectors, strict=True)
    return replace(put, passages=tuple(replace(passage, vector=vector) for passage, vector in passages))


@pytest.fixture
async def ward(settings: Settings, secrets: SecretStore, tmp_path: Path, db: Postgres) -> AsyncIterator[Ward]:
    folders = [tiny_encoder(tmp_path / f"model{seed}", seed=seed) for seed in (1, 2)]
    generations = [
        Generation(f"t{new_id().hex}", locate(str(folder)).name, DIMENSION, "1", source=str(folder))
        for folder in folders
    ]
    embedders = [load_embedder(ModelSettings(), one) for one in generations]
    puts = [document(f"The patient came with {complaint}.") for complaint in COMPLAINTS]
    async with AsyncExitStack() as stack:

        def opened(writer: bool = False) -> EmbeddedIndex:
            index = EmbeddedIndex(tmp_path / "index", Postgres.of(settings, secrets, "search"), writer)
            stack.push_async_callback(index.close)
            return index

        writer = opened(writer=True)
        for one, embedder in zip(generations, embedders, strict=True):
            await writer.create(one)
            await writer.write(one.name, [by(embedder, put) for put in puts])
        await writer.promote(generations[0].name)
        encoders = QueryEncoders(
            embedders[0], opened().generations, lambda one: load_embedder(ModelSettings(), one)
        )
        rules = SearchSettings(semantic_floor=-1, semantic_ratio=0, question_semantic_ratio=0)
        replicas = [
            World(tmp_path, index=opened(), settings=rules, encoder=Encoding(encoders))  # type: ignore[arg-type]
            for _ in range(2)
        ]
        for put in puts:
            for world in replicas:
                world.visibility.rows[put.root.document_id] = (1, frozenset(put.root.access))
        yield Ward(writer, replicas, generations)
        async with db.transaction() as connection:
            for one in generations:
                await connection.execute("DELETE FROM index_generation WHERE name = $1", one.name)
                await connection.execute(f'DROP TABLE IF EXISTS generations."{one.name}"')


async def test_all_replicas_switch_with_the_promotion_and_back(ward: Ward) -> None:
    before = await ward.asked()
    searching = asyncio.create_task(ward.search_on())
    await ward.several(searching)
    promoted = len(ward.answers)
    await ward.writer.promote(ward.new.name)
    await ward.several(searching)
    back = len(ward.answers)
    await ward.writer.promote(ward.old.name)
    await ward.writer.drop(ward.new.name)
    await ward.several(searching)
    searching.cancel()
    await asyncio.gather(searching, return_exceptions=True)
    assert await ward.asked() == before

    after = dict(ward.answers[promoted + 1 : back])
    assert all(before[number] != answer for number, answer in after.items())
    assert all(answer in (before[number], after[number]) for number, answer in ward.answers)
    models = ["old" if answer == before[number] else "new" for number, answer in ward.answers]
    assert [model for model, _ in groupby(models)] == ["old", "new", "old"]

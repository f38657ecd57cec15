"""Query texts as vectors: order, memory, and what a broken deployment looks like to a search."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from deployments.query_encoder.client import HandleEncoding
from deployments.query_encoder.encoder import QueryEncoder
from deployments.query_encoder.encoders import AGAIN_SECONDS, QueryEncoders
from domain.errors import Unavailable
from domain.search import Generation
from models.encoders import ModelUnavailable
from tests.search_world import vector_of


class CountingEmbedder:
    """Remembers what it embedded, and in which thread."""

    name = "words@1"
    dimension = 512

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()

    def embed(self, texts: Sequence[str]) -> Any:
        self.batches.append(list(texts))
        self.threads.add(threading.get_ident())
        return np.stack([vector_of(text) for text in texts])


async def test_a_batch_comes_back_in_its_order_and_repeats_are_embedded_once() -> None:
    embedder = CountingEmbedder()
    encoder = QueryEncoder(embedder)
    texts = ["fever", "cough", "fever", "rash"]
    vectors = await encoder.encode_batch(texts)
    assert all((vector == vector_of(text)).all() for vector, text in zip(vectors, texts, strict=True))
    assert embedder.batches == [["fever", "cough", "rash"]]
    assert threading.get_ident() not in embedder.threads
    encoder.close()


async def test_recent_texts_are_remembered_and_old_ones_forgotten() -> None:
    embedder = CountingEmbedder()
    encoder = QueryEncoder(embedder, remembered=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await encoder.encode_batch([text])
    assert embedder.batches == [["a"], ["b"], ["c"], ["b"]]
    encoder.close()


class Reply:
    """`handle.encode.remote(text, encoder)` as Serve's handle gives it."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome

    @property
    def encode(self) -> Reply:
        return self

    async def remote(self, text: str, encoder: str) -> Any:
        await asyncio.sleep(0)
        self.asked = (text, encoder)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


async def test_the_handle_gives_vectors() -> None:
    reply = Reply(vector_of("fever"))
    assert ((await HandleEncoding(reply).encode("fever", "words@1")) == vector_of("fever")).all()
    assert reply.asked == ("fever", "words@1")


async def test_an_encoder_that_is_not_at_hand_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="words@2"):
        await HandleEncoding(Reply(None)).encode("fever", "words@2")


async def test_a_broken_deployment_is_unavailable_and_repeats_no_text() -> None:
    encoding = HandleEncoding(Reply(RuntimeError("failed on 'secret fever'")))
    with pytest.raises(Unavailable) as failed:
        await encoding.encode("secret fever", "words@1")
    assert failed.value.code == "search.encoder_unavailable"
    assert "fever" not in failed.value.message
    assert failed.value.__cause__ is None


class Shifted(CountingEmbedder):
    """Another model: its vectors are turned by so many places."""

    def __init__(self, name: str, places: int) -> None:
        super().__init__()
        self.name = name
        self._places = places

    def embed(self, texts: Sequence[str]) -> Any:
        return np.roll(super().embed(texts), self._places, axis=1)


class Index:
    """Generations that come and go, and the models to load for them."""

    def __init__(self, *encoders: str) -> None:
        self.there = list(encoders)
        self.away = False
        self.now = 0.0
        self.tried: list[str] = []
        self.missing: set[str] = set()
        self.encoders = QueryEncoders(CountingEmbedder(), self.generations, self.load, clock=lambda: self.now)

    async def generations(self) -> list[Generation]:
        if self.away:
            raise Unavailable("away")
        return [Generation(f"g{place}", encoder, 512, "1") for place, encoder in enumerate(self.there)]

    def load(self, generation: Generation) -> Shifted:
        self.tried.append(generation.encoder)
        if generation.encoder in self.missing:
            raise ModelUnavailable("no such folder")
        return Shifted(generation.encoder, int(generation.encoder.rpartition("@")[2]))


async def test_each_text_is_embedded_by_the_encoder_it_is_asked_for() -> None:
    index = Index("words@1", "turned@5")
    texts, encoders = ["fever", "cough", "fever", "rash"], ["words@1", "turned@5", "turned@5", "other@1"]
    first, second, third, fourth = await index.encoders.encode_batch(texts, encoders)
    assert first is not None
    assert (first == vector_of("fever")).all()
    assert np.array_equal(second, np.roll(vector_of("cough"), 5))
    assert np.array_equal(third, np.roll(vector_of("fever"), 5))
    assert fourth is None


async def test_new_generations_are_followed_and_dropped_ones_forgotten() -> None:
    index = Index("words@1")
    await index.encoders.follow()
    index.there.append("turned@5")
    await index.encoders.follow()
    assert index.tried == ["turned@5"]
    assert [one is None for one in await index.encoders.encode_batch(["a"] * 2, ["words@1", "turned@5"])] == [
        False,
        False,
    ]
    index.there.remove("words@1")
    await index.encoders.follow()
    assert await index.encoders.encode_batch(["a"], ["words@1"]) == [None]


async def test_while_the_index_is_away_what_is_loaded_goes_on() -> None:
    index = Index("words@1")
    index.away = True
    vectors = await index.encoders.encode_batch(["a", "b"], ["words@1", "turned@5"])
    assert [one is None for one in vectors] == [False, True]


async def test_a_model_that_cannot_be_loaded_is_tried_again_after_a_while() -> None:
    index = Index("words@1", "turned@5")
    index.missing = {"turned@5"}
    for _ in range(3):
        assert await index.encoders.encode_batch(["a"], ["turned@5"]) == [None]
    assert index.tried == ["turned@5"]
    index.missing, index.now = set(), AGAIN_SECONDS
    (vector,) = await index.encoders.encode_batch(["a"], ["turned@5"])
    assert vector is not None

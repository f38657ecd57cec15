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
from domain.errors import Unavailable
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
    """`handle.encode.remote(text)` as Serve's handle gives it."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome

    @property
    def encode(self) -> Reply:
        return self

    async def remote(self, text: str) -> Any:
        await asyncio.sleep(0)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


async def test_the_handle_gives_vectors() -> None:
    encoding = HandleEncoding(Reply(vector_of("fever")), "words@1")
    assert encoding.name == "words@1"
    assert ((await encoding.encode("fever")) == vector_of("fever")).all()


async def test_a_broken_deployment_is_unavailable_and_repeats_no_text() -> None:
    encoding = HandleEncoding(Reply(RuntimeError("failed on 'secret fever'")), "words@1")
    with pytest.raises(Unavailable) as failed:
        await encoding.encode("secret fever")
    assert failed.value.code == "search.encoder_unavailable"
    assert "fever" not in failed.value.message
    assert failed.value.__cause__ is None

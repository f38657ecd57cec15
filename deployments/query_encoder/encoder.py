"""Embeds the texts of searches, several at once; remembers recent ones in the process, writes none down."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from domain.search import Vector
from models.embedding import Embedder

REMEMBERED = 512


class QueryEncoder:
    """Runs the embedder in one thread of its own, so that the event loop stays free."""

    def __init__(self, embedder: Embedder, *, remembered: int = REMEMBERED) -> None:
        self._embedder = embedder
        self._remembered = remembered
        self._known: OrderedDict[str, Vector] = OrderedDict()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="query-encoder")

    async def encode_batch(self, texts: Sequence[str]) -> list[Vector]:
        """One vector of `dimension` float32 a text, L2-normalised, in their order."""
        vectors = {text: self._known[text] for text in texts if text in self._known}
        missing = [text for text in dict.fromkeys(texts) if text not in vectors]
        if missing:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._thread, self._embedder.embed, missing)
            vectors.update(zip(missing, made, strict=True))
        self._remember(vectors)
        return [vectors[text] for text in texts]

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _remember(self, vectors: dict[str, Vector]) -> None:
        self._known.update(vectors)
        for text in vectors:
            self._known.move_to_end(text)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)

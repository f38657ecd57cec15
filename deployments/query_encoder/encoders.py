"""The encoders of all generations of the index, side by side, so that a promotion finds its own at work already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import structlog

from deployments.query_encoder.encoder import QueryEncoder
from domain.errors import Unavailable
from domain.search import Generation, Vector
from models.embedding import Embedder
from models.encoders import ModelUnavailable

EVERY_SECONDS = 1.0
AGAIN_SECONDS = 30.0
"""After that time a model that could not be loaded is tried again."""

log = structlog.get_logger(__name__)


class QueryEncoders:
    """Begins with one embedder; `generations` asks the index which there are, `load` loads a generation's.

    Answers by the encoder that is asked for or not at all.
    """

    def __init__(
        self,
        first: Embedder,
        generations: Callable[[], Awaitable[Sequence[Generation]]],
        load: Callable[[Generation], Embedder],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._encoders = {first.name: QueryEncoder(first)}
        self._generations = generations
        self._load = load
        self._clock = clock
        self._failed: dict[str, float] = {}
        self._following = asyncio.Lock()

    async def encode_batch(self, texts: Sequence[str], encoders: Sequence[str]) -> list[Vector | None]:
        """One vector a text, by the encoder `name@version` at its place; None where that one is not to be had."""
        if not self._encoders.keys() >= set(encoders):
            await self.follow()
        vectors: list[Vector | None] = [None] * len(texts)
        for name in self._encoders.keys() & set(encoders):
            places = [place for place, encoder in enumerate(encoders) if encoder == name]
            made = await self._encoders[name].encode_batch([texts[place] for place in places])
            for place, vector in zip(places, made, strict=True):
                vectors[place] = np.asarray(vector)
        return vectors

    async def keep_up(self) -> None:
        """Follow the index until cancelled."""
        while True:
            await self.follow()
            await asyncio.sleep(EVERY_SECONDS)

    async def follow(self) -> None:
        """Load the encoders of new generations, forget those of generations that are gone."""
        async with self._following:
            try:
                there = {one.encoder: one for one in await self._generations()}
            except Unavailable as error:
                log.warning("generations_unknown", reason=error.code)
                return
            for encoder, generation in there.items():
                if encoder not in self._encoders and self._clock() >= self._failed.get(encoder, 0):
                    await self._add(generation)
            for encoder in self._encoders.keys() - there.keys() if there else ():
                self._encoders.pop(encoder).close()

    async def _add(self, generation: Generation) -> None:
        try:
            embedder = await asyncio.to_thread(self._load, generation)
        except ModelUnavailable as error:
            log.error("encoder_unavailable", generation=generation.name, reason=error.message)
            self._failed[generation.encoder] = self._clock() + AGAIN_SECONDS
            return
        self._encoders[generation.encoder] = QueryEncoder(embedder)
        log.info("encoder_loaded", encoder=generation.encoder, generation=generation.name)

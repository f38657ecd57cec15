"""The embedding models of the index's generations, as a worker needs them: a vector is only worth something in
the generation whose encoder made it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from domain.errors import Unavailable
from domain.search import Generation, GenerationState
from models.artefacts import Vectors
from models.encoders import ModelUnavailable

MODEL_AWAY = "models.unavailable"
"""Code of the error that a model cannot be loaded now: no document's fault."""

KEPT = 2
"""Models in memory: the live generation's, and that of one which is built."""

log = structlog.get_logger(__name__)


class Embedder(Protocol):
    """Vectors of texts: (n, dimension) float32, L2-normalised."""

    @property
    def name(self) -> str: ...

    @property
    def batch(self) -> int:
        """How many of them it embeds at once."""
        ...

    def embed(self, texts: list[str]) -> Vectors: ...


class Embedders:
    """`generations` asks the index; `load` loads a generation's encoder, or for None the settings'."""

    def __init__(
        self,
        generations: Callable[[], Awaitable[Sequence[Generation]]],
        load: Callable[[Generation | None], Embedder],
    ) -> None:
        self._generations = generations
        self._load = load
        self._known: Sequence[Generation] = ()
        self._loaded: dict[str, Embedder] = {}

    async def wanted(self, name: str | None) -> Generation | None:
        """The generation of this name, or the live one; None when there is none yet.

        As last known while the index is away: the index writer refuses vectors of another encoder, and has them
        made again. Raises `Unavailable` when nothing is known of a named one.
        """
        try:
            self._known = await self._generations()
        except Unavailable as error:
            log.warning("generations_unknown", reason=error.code)
        for one in self._known:
            if one.name == name or (name is None and one.state is GenerationState.LIVE):
                return one
        if name is not None:
            raise Unavailable(f"Nothing is known of the generation '{name}'.", code="search.index_missing")
        return None

    def loaded(self, generation: Generation | None) -> Embedder:
        """Blocks while it loads. Raises `Unavailable` (`models.unavailable`) when it cannot be loaded."""
        key = generation.encoder if generation else ""
        try:
            embedder = self._loaded.pop(key, None) or self._load(generation)
        except ModelUnavailable as error:
            raise Unavailable(error.message, code=MODEL_AWAY) from error
        self._loaded[key] = embedder  # the one used last stands last
        while len(self._loaded) > KEPT:
            del self._loaded[next(iter(self._loaded))]
        return embedder

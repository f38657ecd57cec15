"""The embedding models of the index's generations, as a worker needs them: a vector is only worth something in
the generation whose encoder made it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from domain.errors import Unavailable
from domain.search import Generation, GenerationState
from models.artefacts import Vectors
from models.encoders import ModelUnavailable

MODEL_AWAY = "models.unavailable"
"""Code of the error that a model cannot be loaded now: no document's fault."""

BELIEVED_SECONDS = 1.0
"""How long what was heard of the generations is not asked again."""

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
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generations = generations
        self._load = load
        self._clock = clock
        self._known: Sequence[Generation] = ()
        self._asked_at = -BELIEVED_SECONDS
        self._loading = threading.Lock()
        self._loaded: dict[str, Embedder] = {}
        self._configured = ""
        """Name of the settings' model, once it was loaded."""

    async def wanted(self, name: str | None) -> Generation | None:
        """The generation of this name, or the live one; None when there is none yet.

        As known a second ago, or as last known while the index is away: the index writer refuses vectors of another
        encoder, and has them made again. Raises `Unavailable` when nothing is known of a named one.
        """
        found = self._found(name)
        if found is None or self._clock() - self._asked_at >= BELIEVED_SECONDS:
            await self._ask()
            found = self._found(name)
        if found is None and name is not None:
            raise Unavailable(f"Nothing is known of the generation '{name}'.", code="search.index_missing")
        return found

    async def _ask(self) -> None:
        try:
            self._known = await self._generations()
            self._asked_at = self._clock()
        except Unavailable as error:
            log.warning("generations_unknown", reason=error.code)

    def _found(self, name: str | None) -> Generation | None:
        for one in self._known:
            if one.name == name or (name is None and one.state is GenerationState.LIVE):
                return one
        return None

    def loaded(self, generation: Generation | None) -> Embedder:
        """Blocks while it loads, in whatever thread. Raises `Unavailable` (`models.unavailable`) when it cannot be
        loaded.
        """
        with self._loading:
            try:
                known = generation.encoder if generation else self._configured
                embedder = self._loaded.pop(known, None) or self._load(generation)
            except ModelUnavailable as error:
                raise Unavailable(error.message, code=MODEL_AWAY) from error
            if generation is None:
                self._configured = embedder.name
            self._loaded[embedder.name] = embedder  # the one used last stands last
            while len(self._loaded) > KEPT:
                del self._loaded[next(iter(self._loaded))]
            return embedder

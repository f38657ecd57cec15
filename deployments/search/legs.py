"""The two legs of a search over the index, each within its time; a store that is away is one clear 503."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from config.settings import SearchSettings
from deployments.search.question import Question
from domain.errors import Unavailable
from domain.search import LexicalResult, SemanticHit
from stores.ports import QueryEncoding, SearchIndex

NEAR_IN_HYBRID = 200
"""Most documents that meaning contributes to a hybrid ranking; behind them, words alone tell better."""


@asynccontextmanager
async def index_within(seconds: float) -> AsyncIterator[None]:
    """Turns whatever keeps the index from answering into `Unavailable` (`search.index_unavailable`)."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (Unavailable, TimeoutError) as error:
        raise Unavailable(
            "Search is not possible at the moment. Try again shortly.",
            code="search.index_unavailable",
            retry_after=5,
        ) from error


@dataclass(frozen=True, slots=True)
class LegResults:
    """What the legs found; None for a leg that was not asked or was away."""

    lexical: LexicalResult | None
    semantic: list[SemanticHit] | None


class Legs:
    """Runs them side by side."""

    def __init__(
        self,
        index: SearchIndex,
        encoder: QueryEncoding,
        settings: SearchSettings,
    ) -> None:
        self._index = index
        self._encoder = encoder
        self._settings = settings

    async def both(self, question: Question) -> LegResults:
        """Words and meaning; without meaning when only that is away. Raises `Unavailable` without words."""
        semantic = asyncio.create_task(self._semantic_or_none(question))
        try:
            return LegResults(await self._lexical(question), await semantic)
        finally:
            semantic.cancel()

    async def meaning(self, question: Question) -> LegResults:
        """Meaning alone; raises `Unavailable` (`search.semantic_unavailable`)."""
        window, ratio = self._settings.window, self._settings.semantic_ratio
        return LegResults(None, await self._semantic(question, window, ratio))

    async def _lexical(self, question: Question) -> LexicalResult:
        async with index_within(self._settings.leg_timeout_seconds):
            return await self._index.lexical(
                question.query,
                question.access,
                limit=self._settings.window,
                generation=question.generation.name,
            )

    async def _semantic_or_none(self, question: Question) -> list[SemanticHit] | None:
        settings = self._settings
        ratio = settings.question_semantic_ratio if question.in_full else settings.semantic_ratio
        try:
            return await self._semantic(question, min(NEAR_IN_HYBRID, settings.window), ratio)
        except Unavailable:
            return None

    async def _semantic(self, question: Question, most: int, ratio: float) -> list[SemanticHit]:
        try:
            async with asyncio.timeout(self._settings.leg_timeout_seconds):
                vector = await self._encoder.encode(question.parsed.meaning, question.generation.encoder)
                hits = await self._index.semantic(
                    vector,
                    question.access,
                    filters=question.filters,
                    limit=most,
                    generation=question.generation.name,
                )
        except (Unavailable, TimeoutError) as error:
            raise _no_meaning() from error
        return self._near_enough(hits, ratio)

    def _near_enough(self, hits: list[SemanticHit], ratio: float) -> list[SemanticHit]:
        """Every document is somehow near: those count that are near enough, also beside the nearest one."""
        nearest = max((hit.similarity for hit in hits), default=0.0)
        least = max(self._settings.semantic_floor, nearest * ratio)
        return [hit for hit in hits if hit.similarity >= least]


def _no_meaning() -> Unavailable:
    return Unavailable(
        "Search by meaning is not possible at the moment. Try again shortly, or choose mode lexical.",
        code="search.semantic_unavailable",
        retry_after=5,
    )

"""Lexical and sorted results: paged without limit, from behind the last document that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.edge.cursors import CursorSigner
from deployments.search.found import FoundDocument, FoundPage
from deployments.search.legs import index_within
from deployments.search.question import Question
from domain.search import LexicalResult, RootHit, SortKey
from domain.windows import Place
from stores.ports import SearchIndex, Visibility

ROUNDS = 5
"""Requests to the index for one page, when hits must be left out; then the page is a short one."""


@dataclass(slots=True)
class _Position:
    """Behind which hit the next one is, how many came before it, and the best score (which scales all)."""

    after: tuple[Any, ...] | None = None
    seen: int = 0
    best: float = 0.0


@dataclass(slots=True)
class _Gathered:
    documents: list[FoundDocument] = field(default_factory=list)
    positions: list[_Position] = field(default_factory=list)
    """Behind each of the documents."""
    dropped: int = 0
    total: int = 0
    exhausted: bool = False


class DeepPaging:
    """Pages of the words leg."""

    def __init__(
        self, index: SearchIndex, visibility: Visibility, cursors: CursorSigner, *, timeout_seconds: float
    ) -> None:
        self._index = index
        self._visibility = visibility
        self._cursors = cursors
        self._timeout = timeout_seconds

    async def page(self, question: Question, limit: int, cursor: dict[str, Any] | None) -> FoundPage:
        """One page; what may not be shown any more is left out and the page filled from behind."""
        position = (
            _Position(tuple(cursor["after"]), cursor["seen"], cursor["best"]) if cursor else _Position()
        )
        gathered = _Gathered()
        for _ in range(ROUNDS):
            wanted = limit + 1 - len(gathered.documents)
            result = await self._ask(question, wanted, position)
            gathered.total = result.total
            await self._take(question, result.hits, position, gathered)
            gathered.exhausted = len(result.hits) < wanted
            if gathered.exhausted or len(gathered.documents) > limit:
                break
        return FoundPage(
            documents=gathered.documents[:limit],
            total=max(gathered.total - gathered.dropped, 0),
            legs=("lexical",),
            next_cursor=self._next(question, limit, gathered, position),
        )

    async def _ask(self, question: Question, wanted: int, position: _Position) -> LexicalResult:
        async with index_within(self._timeout):
            return await self._index.lexical(
                question.query,
                question.access,
                limit=wanted,
                sort=question.sort,
                after=position.after,
                generation=question.generation.name,
            )

    async def _take(
        self, question: Question, hits: Sequence[RootHit], position: _Position, gathered: _Gathered
    ) -> None:
        visible = await self._visibility.visible(
            {hit.document_id: hit.version for hit in hits}, question.access.principals
        )
        for hit in hits:
            position.after = hit.after
            position.seen += 1
            position.best = position.best or hit.score
            if hit.document_id in visible:
                gathered.documents.append(_found(hit, position, ranked=question.sort is SortKey.RELEVANCE))
                gathered.positions.append(_Position(position.after, position.seen, position.best))
            else:
                gathered.dropped += 1

    def _next(self, question: Question, limit: int, gathered: _Gathered, reached: _Position) -> str | None:
        if len(gathered.documents) > limit:
            behind = gathered.positions[limit - 1]
        elif gathered.exhausted:
            return None
        else:
            behind = reached
        return self._cursors.sign(
            {"after": behind.after, "seen": behind.seen, "best": behind.best}, bound_to=question.bound_to
        )


def _found(hit: RootHit, position: _Position, *, ranked: bool) -> FoundDocument:
    if not ranked:
        return FoundDocument(hit.document_id, hit.version, None)
    score = min(1.0, hit.score / position.best) if position.best > 0 else 1.0
    return FoundDocument(hit.document_id, hit.version, score, lexical=Place(position.seen, score))

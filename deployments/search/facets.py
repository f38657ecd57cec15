"""Facets of an answer: document counts over what its total counts, and the statement of what that is."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from deployments.search.found import FoundPage
from deployments.search.legs import index_within
from deployments.search.question import Question
from deployments.search.schemas import FacetName, FacetScope, FacetValue, Mode
from domain.search import FacetCount, LexicalQuery
from domain.text import AssertionLabel
from stores.ports import SearchIndex

VALUES = 20
"""Most values of one facet."""


class FacetCounter:
    """Counts over the index under the caller's access."""

    def __init__(self, index: SearchIndex, *, timeout_seconds: float) -> None:
        self._index = index
        self._timeout = timeout_seconds

    async def count(
        self, question: Question, page: FoundPage, names: Sequence[FacetName]
    ) -> dict[FacetName, list[FacetValue]]:
        """Most frequent values first, at most 20 a facet."""
        if not names:
            return {}
        query, also = _counted(question, page)
        async with index_within(self._timeout):
            counts = await self._index.facets(
                query,
                question.access,
                facets=[name.value for name in names],
                also=also,
                size=VALUES,
                generation=question.generation.name,
            )
        return {name: [_value(name, count) for count in counts.get(name.value, ())] for name in names}


def scope(question: Question, page: FoundPage) -> FacetScope:
    """What total and facets of this answer are counted over."""
    if not question.windowed or "semantic" not in page.legs:
        return FacetScope.MATCHES
    return (
        FacetScope.SEMANTIC_WINDOW
        if question.mode is Mode.SEMANTIC
        else FacetScope.MATCHES_AND_SEMANTIC_WINDOW
    )


def _counted(question: Question, page: FoundPage) -> tuple[LexicalQuery, Sequence[UUID]]:
    if scope(question, page) is FacetScope.SEMANTIC_WINDOW:
        return LexicalQuery((), within=frozenset(page.semantic)), ()
    return question.query, page.semantic


def _value(name: FacetName, count: FacetCount) -> FacetValue:
    if name is not FacetName.CONCEPT:
        return FacetValue(value=count.value, label=count.label, count=count.count)
    code, _, assertion = count.value.partition("#")
    return FacetValue(value=code, label=count.label, assertion=AssertionLabel(assertion), count=count.count)

"""The order of hybrid and semantic results: legs fused, weighed by how a document speaks of the concepts."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from config.settings import SearchSettings
from deployments.search.found import Leg
from deployments.search.legs import LegResults, Legs, index_within
from deployments.search.question import Question
from deployments.search.schemas import Mode
from domain.ids import new_id
from domain.search import EntityFilter, Filters, LexicalQuery
from domain.text import AssertionLabel
from domain.windows import Place, Window, WindowEntry
from models.fusion import normalised, reciprocal_rank, weighted
from stores.ports import SearchIndex

AFFIRMED, DOUBTFUL, OTHERWISE = 1.0, 0.8, 0.5
"""Factors for a document that affirms the concept; else doubts or remembers it; else denies it and such."""

LACKING: tuple[tuple[float, tuple[AssertionLabel, ...]], ...] = (
    (DOUBTFUL, (AssertionLabel.AFFIRMED,)),
    (OTHERWISE, (AssertionLabel.AFFIRMED, AssertionLabel.UNCERTAIN, AssertionLabel.HISTORICAL)),
)
"""The factor of a document that mentions the concept, but nowhere like this; each with more labels is within the one before."""


class _Candidate(NamedTuple):
    version: int
    lexical: Place | None
    semantic: Place | None
    ordinal: int | None


class Ranking:
    """Makes the window of a question."""

    def __init__(self, legs: Legs, index: SearchIndex, settings: SearchSettings) -> None:
        self._legs = legs
        self._index = index
        self._settings = settings

    async def window(self, question: Question) -> Window:
        """The ordered documents, at most `settings.window`; of words alone when meaning is away in hybrid."""
        hybrid = question.mode is Mode.HYBRID
        results = await (self._legs.both(question) if hybrid else self._legs.meaning(question))
        async with index_within(self._settings.leg_timeout_seconds):
            results, matching = await self._agreed(question, results)
            found = {hit.document_id for hit in results.lexical.hits} if results.lexical else set()
            results = await self._with_shared_words(question, results)
            candidates = _candidates(results)
            fused = self._fused(results)
            best = sorted(fused, key=lambda key: (-fused[key], key))[: self._settings.window]
            factors = await self._factors(question, best)
        entries = [_entry(key, candidates[key], fused[key], factors.get(key, AFFIRMED)) for key in best]
        entries.sort(key=lambda entry: (-entry.score, entry.document_id))
        beyond = sum(
            entry.document_id not in found and entry.document_id not in matching for entry in entries
        )
        total = beyond + (results.lexical.total if results.lexical else 0)
        return Window(new_id(), question.account, total, _legs(results), tuple(entries))

    def weights(self, legs: Collection[str]) -> tuple[float, float]:
        """Of words and meaning, for the legs that took part."""
        if len(legs) == 1:
            return (1.0, 0.0) if "lexical" in legs else (0.0, 1.0)
        return 1 - self._settings.semantic_weight, self._settings.semantic_weight

    async def _agreed(self, question: Question, results: LegResults) -> tuple[LegResults, frozenset[UUID]]:
        """Without what the user excluded or does not have what he insisted on, in the semantic leg too.

        Also the documents of the semantic leg that match the words, though behind the end of the words leg.
        """
        lexical, semantic = results.lexical, results.semantic or []
        words = {hit.document_id for hit in lexical.hits} if lexical else set()
        only = frozenset(hit.document_id for hit in semantic) - words
        if question.parsed.explicit and only:
            kept = await self._matching(
                LexicalQuery(question.parsed.explicit, question.filters, within=only), question
            )
            semantic = [hit for hit in semantic if hit.document_id in words or hit.document_id in kept]
            only &= kept
        matching: frozenset[UUID] = frozenset()
        if lexical and lexical.total > len(lexical.hits) and only:
            query = LexicalQuery(question.query.clauses, question.filters, question.query.minimum, only)
            matching = await self._matching(query, question)
        return LegResults(lexical, None if results.semantic is None else semantic), matching

    async def _with_shared_words(self, question: Question, results: LegResults) -> LegResults:
        """The words leg with the near documents that have some words of a long question, though too few.

        They are no matches of the words; but what a near document shares with the question tells it from
        other near ones.
        """
        lexical, query = results.lexical, question.query
        if lexical is None or not results.semantic or not question.in_full:
            return results
        words = {hit.document_id for hit in lexical.hits}
        near = frozenset(hit.document_id for hit in results.semantic) - words
        if not near:
            return results
        shared = await self._index.lexical(
            replace(query, minimum=1, within=near),
            question.access,
            limit=len(near),
            generation=question.generation.name,
        )
        hits = sorted((*lexical.hits, *shared.hits), key=lambda hit: (-hit.score, hit.document_id))
        return replace(results, lexical=replace(lexical, hits=tuple(hits)))

    async def _matching(self, query: LexicalQuery, question: Question) -> frozenset[UUID]:
        result = await self._index.lexical(
            query, question.access, limit=self._settings.window, generation=question.generation.name
        )
        return frozenset(hit.document_id for hit in result.hits)

    def _fused(self, results: LegResults) -> dict[UUID, float]:
        scores = [
            {hit.document_id: hit.score for hit in results.lexical.hits} if results.lexical else {},
            {hit.document_id: hit.similarity for hit in results.semantic or ()},
        ]
        weights = self.weights(_legs(results))
        if self._settings.fusion == "rrf":
            return reciprocal_rank([list(leg) for leg in scores], weights)
        return weighted([normalised(leg, least=0.0) for leg in scores], weights)

    async def _factors(self, question: Question, documents: Sequence[UUID]) -> dict[UUID, float]:
        """How each document speaks of the concepts that the query names; the least favourable one counts.

        Nothing for documents that mention none, nor when the query itself speaks of negation or the like. Two
        questions to the index, however many concepts there are.
        """
        concepts = question.parsed.concepts
        if question.parsed.cued or not documents or not concepts:
            return {}
        factors: dict[UUID, float] = {}
        within = frozenset(documents)
        for factor, labels in LACKING:
            query = LexicalQuery((), _some_lacks(concepts, labels), within=within)
            within = await self._matching(query, question)
            factors |= dict.fromkeys(within, factor)
        return factors


def _some_lacks(concepts: Iterable[Sequence[str]], labels: tuple[AssertionLabel, ...]) -> Filters:
    """One of the concepts (each: codes of one meaning) is mentioned, but never with one of the labels."""
    lacking = (EntityFilter(codes[0], (), tuple(codes[1:]), without=labels) for codes in concepts)
    return Filters(any_entity=tuple(lacking))


def _legs(results: LegResults) -> tuple[Leg, ...]:
    legs: Iterable[tuple[Leg, object]] = (("lexical", results.lexical), ("semantic", results.semantic))
    return tuple(name for name, result in legs if result is not None)


def _candidates(results: LegResults) -> dict[UUID, _Candidate]:
    words = results.lexical.hits if results.lexical else ()
    meaning = results.semantic or []
    candidates = {
        hit.document_id: _Candidate(hit.version, None, place, hit.ordinal)
        for hit, place in zip(meaning, _places(hit.similarity for hit in meaning), strict=True)
    }
    for hit, place in zip(words, _places(hit.score for hit in words), strict=True):
        near = candidates.get(hit.document_id)
        semantic, ordinal = (near.semantic, near.ordinal) if near else (None, None)
        candidates[hit.document_id] = _Candidate(hit.version, place, semantic, ordinal)
    return candidates


def _places(scores: Iterable[float]) -> list[Place]:
    scaled = normalised(dict(enumerate(scores, start=1)), least=0.0)
    return list(itertools.starmap(Place, scaled.items()))


def _entry(key: UUID, candidate: _Candidate, fused: float, factor: float) -> WindowEntry:
    return WindowEntry(
        key,
        candidate.version,
        fused * factor,
        factor,
        candidate.lexical,
        candidate.semantic,
        candidate.ordinal,
    )

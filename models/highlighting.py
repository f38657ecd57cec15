"""Where a query's words stand in a text, from the offsets of the analysis that the index is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.search import Clause
from domain.text import Span
from models.analysis import Piece, pieces


@dataclass(frozen=True, slots=True)
class Match:
    """A stretch of text that meets clause number `clause`; code points in the text that was searched."""

    span: Span
    clause: int


class Highlighter:
    """Finds words, phrases and alternatives of clauses; built once a query, used for each passage."""

    def __init__(self, clauses: Sequence[Clause]) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for number, clause in enumerate(clauses):
            for stems in (clause.stems, *clause.alternatives):
                self._by_first.setdefault(stems[0], []).append((stems, number))

    def matches(self, text: str) -> list[Match]:
        """All matches, also overlapping ones, in the order of their start."""
        terms = pieces(text)
        return [
            match
            for position, (_, stem, _, _) in enumerate(terms)
            if stem in self._by_first
            for match in self._at(terms, position)
        ]

    def highlights(self, text: str, *, offset: int = 0) -> list[Span]:
        """Disjoint spans, the longest first where several start, moved by `offset`; a phrase is one span."""
        spans: list[Span] = []
        reached = 0
        for match in sorted(self.matches(text), key=lambda match: (match.span.start, -match.span.end)):
            if match.span.start >= reached:
                spans.append(Span(match.span.start + offset, match.span.end + offset))
                reached = match.span.end
        return spans

    def _at(self, terms: Sequence[Piece], position: int) -> Iterator[Match]:
        _, first, start, _ = terms[position]
        for stems, clause in self._by_first[first]:
            run = terms[position : position + len(stems)]
            if tuple(stem for _, stem, _, _ in run) == stems:
                yield Match(Span(start, run[-1][3]), clause)

"""Strict span figures of a recogniser over a labelled corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.text import MentionType, Page
from models.evaluation.corpora import CorpusFault, LabelledText
from models.recognition import Recogniser

Found = tuple[int, int, MentionType]


@dataclass(frozen=True, slots=True)
class SpanFigures:
    """Counts of spans, and what follows from them; a figure over nothing is 0."""

    right: int = 0
    gold: int = 0
    found: int = 0

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.gold + self.found) if self.gold + self.found else 0.0

    def __add__(self, other: SpanFigures) -> SpanFigures:
        return SpanFigures(self.right + other.right, self.gold + other.gold, self.found + other.found)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A span that one side has and the other has not."""

    text: str
    """Name of the text."""
    start: int
    end: int
    surface: str
    type: MentionType
    kind: str
    """`missed` or `wrong`."""


@dataclass(frozen=True, slots=True)
class NerResult:
    """Figures by type and over all judged types; every mistake in order."""

    by_type: dict[MentionType, SpanFigures]
    mistakes: tuple[Mistake, ...]

    @property
    def micro(self) -> SpanFigures:
        return sum(self.by_type.values(), SpanFigures())


def type_map(pairs: Iterable[str], corpus: Sequence[LabelledText]) -> dict[str, MentionType]:
    """`CORPUS_TYPE=OUR_TYPE` as a map; without any, corpus types that are named as ours (in any case).

    Raises `CorpusFault` for one of our types that does not exist and for a corpus type that never occurs.
    """
    present = {span.type for text in corpus for span in text.spans}
    known = {kind.value: kind for kind in MentionType}
    given = [pair.partition("=")[::2] for pair in pairs] or [
        (name, name.lower()) for name in sorted(present) if name.lower() in known
    ]
    for theirs, ours in given:
        if ours not in known:
            raise CorpusFault(f"There is no type {ours!r}; ours are {', '.join(known)}.")
        if theirs not in present:
            raise CorpusFault(f"The corpus has no type {theirs!r}; it has {', '.join(sorted(present))}.")
    if not given:
        raise CorpusFault(
            f"Say what the corpus' types are here: --map TYPE=OURS, of {', '.join(sorted(present))}."
        )
    return {theirs: known[ours] for theirs, ours in given}


def evaluate(
    recogniser: Recogniser, corpus: Iterable[LabelledText], types: Mapping[str, MentionType]
) -> NerResult:
    """A mention is right when start, end and type are those of the corpus.

    Judged are the types that the map leads to; mentions of others are left out, as the corpus says nothing of
    them.
    """
    judged = frozenset(types.values())
    totals: dict[MentionType, SpanFigures] = {kind: SpanFigures() for kind in sorted(judged)}
    mistakes: list[Mistake] = []
    for text in corpus:
        gold = {(span.start, span.end, types[span.type]) for span in text.spans if span.type in types}
        mentions = recogniser.recognise([Page(1, text.text)])
        found = {(each.start, each.end, each.type) for each in mentions if each.type in judged}
        for kind, figures in _counted(gold, found):
            totals[kind] += figures
        mistakes += _mistakes(text, gold, found)
    return NerResult(totals, tuple(mistakes))


def _counted(gold: set[Found], found: set[Found]) -> Iterator[tuple[MentionType, SpanFigures]]:
    for span in gold:
        yield span[2], SpanFigures(right=int(span in found), gold=1)
    for span in found:
        yield span[2], SpanFigures(found=1)


def _mistakes(text: LabelledText, gold: set[Found], found: set[Found]) -> Iterator[Mistake]:
    for start, end, kind in sorted(gold ^ found):
        side = "missed" if (start, end, kind) in gold else "wrong"
        yield Mistake(text.name, start, end, text.text[start:end], kind, side)

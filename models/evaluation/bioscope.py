"""The BioScope corpus (Szarvas et al. 2008): cues of negation and speculation with their scopes, by sentence.

Reads the JSON-lines form of abstracts and full papers. A fifth of the documents is held out by a fixed rule;
what is tuned or trained sees the others only.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from domain.errors import Invalid
from domain.text import Certainty, Polarity, Span
from models.assertion.scopes import KINDS, Kind, ScopedCue
from models.evaluation.assertion import Judged
from models.evaluation.scores import NONE, Counts

HELD_OUT_OF = 5
SEED = 20_26
EVERY = 3
_CONTENT_WORD = re.compile(r"[A-Za-z][\w-]{5,}")
_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class ScopedSentence:
    document: str
    text: str
    cues: tuple[ScopedCue, ...]


class CueScopes(Protocol):
    """Finds cues and scopes in a sentence."""

    def cue_scopes(self, text: str) -> Iterable[ScopedCue]:
        """Cues with their scopes."""
        ...


@dataclass(frozen=True, slots=True)
class ScopeScores:
    """`cues`: a cue found is one that overlaps one of the corpus. `tokens`: words and punctuation in a scope."""

    cues: Counts = NONE
    exact_cues: Counts = NONE
    tokens: Counts = NONE

    def __add__(self, other: ScopeScores) -> ScopeScores:
        return ScopeScores(
            self.cues + other.cues, self.exact_cues + other.exact_cues, self.tokens + other.tokens
        )


def read_bioscope(path: Path) -> list[ScopedSentence]:
    """All sentences in order. Raises `Invalid` where the file is not of this form."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [_sentence(json.loads(line)) for line in file]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{path} is not BioScope in JSON lines: {error}.") from error


def is_held_out(document: str) -> bool:
    """Whether a document belongs to the fifth that is only measured on."""
    return zlib.crc32(f"{SEED}:{document}".encode()) % HELD_OUT_OF == 0


def split(sentences: Iterable[ScopedSentence]) -> tuple[list[ScopedSentence], list[ScopedSentence]]:
    """(to develop on, held out), by document."""
    parts: tuple[list[ScopedSentence], list[ScopedSentence]] = ([], [])
    for sentence in sentences:
        parts[is_held_out(sentence.document)].append(sentence)
    return parts


def evaluate(finder: CueScopes, sentences: Sequence[ScopedSentence]) -> dict[Kind, ScopeScores]:
    """Counts by kind over all sentences."""
    totals: dict[Kind, ScopeScores] = dict.fromkeys(KINDS, ScopeScores())
    for sentence in sentences:
        found = list(finder.cue_scopes(sentence.text))
        for kind in KINDS:
            totals[kind] += compare(
                sentence.text,
                [cue for cue in sentence.cues if cue.kind == kind],
                [cue for cue in found if cue.kind == kind],
            )
    return totals


def derived_mentions(sentences: Iterable[ScopedSentence]) -> Iterator[Judged]:
    """Mentions with polarity and certainty: every third word of six letters or more in sentences with a cue.

    A word in a scope of negation is negated, in one of speculation uncertain; words of cues are left out.
    """
    for line, sentence in enumerate(sentences, 1):
        cues = [piece for cue in sentence.cues for piece in cue.pieces]
        for match in list(_CONTENT_WORD.finditer(sentence.text))[::EVERY] if cues else ():
            start, end = match.span()
            if not _overlap([Span(start, end)], cues):
                under = {
                    cue.kind for cue in sentence.cues if cue.scope.start <= start and end <= cue.scope.end
                }
                values = {
                    "polarity": Polarity.NEGATED if "negation" in under else Polarity.AFFIRMED,
                    "certainty": Certainty.UNCERTAIN if "speculation" in under else Certainty.CERTAIN,
                }
                yield Judged(
                    line, sentence.text, start, end, {axis: str(v) for axis, v in values.items()}, {}
                )


def compare(text: str, expected: Sequence[ScopedCue], found: Sequence[ScopedCue]) -> ScopeScores:
    """Counts of one sentence and kind."""
    if not expected and not found:
        return ScopeScores()
    return ScopeScores(
        _overlapping([cue.pieces for cue in expected], [cue.pieces for cue in found]),
        _sets({cue.pieces for cue in expected}, {cue.pieces for cue in found}),
        _sets(_tokens(text, expected), _tokens(text, found)),
    )


def _sets(expected: set[object], found: set[object]) -> Counts:
    right = len(expected & found)
    return Counts(right, len(found) - right, len(expected) - right)


def _overlapping(expected: Sequence[tuple[Span, ...]], found: Sequence[tuple[Span, ...]]) -> Counts:
    """Each found cue answers at most one expected."""
    left = list(found)
    right = 0
    for pieces in expected:
        match = next((other for other in left if _overlap(pieces, other)), None)
        if match is not None:
            left.remove(match)
            right += 1
    return Counts(right, len(left), len(expected) - right)


def _overlap(left: Iterable[Span], right: Sequence[Span]) -> bool:
    return any(a.start < b.end and b.start < a.end for a in left for b in right)


def _tokens(text: str, cues: Sequence[ScopedCue]) -> set[object]:
    return {match.start() for cue in cues for match in _TOKEN.finditer(text, cue.scope.start, cue.scope.end)}


def _sentence(row: dict[str, Any]) -> ScopedSentence:
    return ScopedSentence(str(row["doc"]), str(row["text"]), tuple(_cues(row["ann"])))


def _cues(annotations: list[dict[str, Any]]) -> Iterator[ScopedCue]:
    scopes = {a["id"]: Span(*a["span"]) for a in annotations if a["tag"] == "xcope"}
    pieces: dict[tuple[Kind, str], list[Span]] = {}
    for annotation in annotations:
        if annotation["tag"] == "cue" and annotation["type"] in KINDS and annotation["id"] in scopes:
            pieces.setdefault((annotation["type"], annotation["id"]), []).append(Span(*annotation["span"]))
    for (kind, identifier), spans in pieces.items():
        yield ScopedCue(kind, tuple(sorted(spans, key=lambda span: span.start)), scopes[identifier])

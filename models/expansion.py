"""Other names of the concepts that a query names, from the compiled terminologies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Protocol

from models.terminology import Meaning

SHORTEST_ABBREVIATION = 3
"""`MI` and `PE` stand for too many things to be searched for unasked."""

NAMES_PER_CODE = 12
"""So many names of each code are looked at."""


class Names(Protocol):
    """What is used of `models.terminology.Vocabulary`."""

    def lookup(self, name: str) -> Meaning | None: ...

    def names(self, code: str) -> tuple[str, ...]: ...


class VocabularyNames:
    """`models.query.ConceptNames` over a vocabulary."""

    def __init__(self, vocabulary: Names) -> None:
        self._vocabulary = vocabulary
        self._others = lru_cache(maxsize=10_000)(self._of_all)

    def named(self, text: str) -> Sequence[str]:
        meaning = self._meaning(text)
        return [concept.code for concept in meaning.concepts] if meaning else []

    def names(self, text: str) -> Sequence[str]:
        """Names that mean the same concepts; those of the several codes take turns, the plainest first."""
        meaning = self._meaning(text)
        if meaning is None:
            return ()
        return self._others(tuple(concept.code for concept in meaning.concepts if concept.score >= 1.0))

    def _of_all(self, codes: tuple[str, ...]) -> tuple[str, ...]:
        lists = (self._vocabulary.names(code)[:NAMES_PER_CODE] for code in codes)
        turns = chain.from_iterable(zip_longest(*lists))
        return tuple(dict.fromkeys(name for name in turns if name and self._means(name, set(codes))))

    def _means(self, name: str, codes: set[str]) -> bool:
        """Whether the name, as it would be typed, means one of the codes and nothing shorter than fits."""
        meaning = self._vocabulary.lookup(name)
        if meaning is None or (meaning.capitals and len(name) < SHORTEST_ABBREVIATION):
            return False
        return any(code in codes for code in _codes(meaning))

    def _meaning(self, text: str) -> Meaning | None:
        meaning = self._vocabulary.lookup(text)
        return None if meaning is None or (meaning.capitals and not text.isupper()) else meaning


def _codes(meaning: Meaning) -> Iterator[str]:
    return (concept.code for concept in meaning.concepts)

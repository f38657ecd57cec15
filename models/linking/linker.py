"""Mentions to coded concepts: by the name itself, else by names near it; nothing when that is not sure enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from domain.text import Concept, MentionType
from models.analysis import analyse
from models.linking.index import NameIndex, Near, Progress, ensure_index
from models.linking.scoring import Figures, Reading, features, outside_features, probabilities, read
from models.linking.vectors import NameVectors, read_weights
from models.terminology import Vocabulary
from models.terminology.sources import SYSTEMS, system_rank
from models.terminology.vocabulary import MAPPED_SCORE

SURE = 0.5
"""A concept less probable than this is not linked."""
LONGEST = 400
"""Code points of a mention; what is longer is none."""
CANDIDATES = 20
"""Near names of a terminology whose concepts are weighed."""
BROADER_SCORE = 0.6
"""Of a concept that a mention's last words name: how often it is what is meant, or broader (docs/linking.md)."""
_SHORT = 5
_FINDINGS = frozenset({MentionType.PROBLEM, MentionType.SIGN})
_DRUGS = "DRUGBANK"
_OF_FINDINGS = tuple(system for system in SYSTEMS if system != _DRUGS)


class Linker:
    """Holds no state between mentions but a cache; the same text always links to the same concepts."""

    def __init__(
        self, vocabulary: Vocabulary, index: NameIndex, vectors: NameVectors, weights: Figures
    ) -> None:
        self._vocabulary = vocabulary
        self._index = index
        self._vectors = vectors
        self._weights = weights
        self.name = f"linking@{index.version}"
        self._cached = lru_cache(maxsize=20_000)(self._ranked)
        self._read = lru_cache(maxsize=20_000)(read)
        self._label = lru_cache(maxsize=20_000)(self._labelled)

    def weighed_by(self, weights: Figures) -> Linker:
        """The same with other weights of the scores."""
        return Linker(self._vocabulary, self._index, self._vectors, weights)

    def concepts(self, text: str, kind: MentionType | None = None) -> tuple[Concept, ...]:
        """At most one concept of each terminology, in their order; none where it is not sure enough.

        A name of the vocabulary has its concepts (score 1, or .8 where a bridge brought the code); another
        text those of the names near it, the score being the probability that the concept is meant.
        """
        best: dict[int, Concept] = {}
        for concept in self.ranked(text, kind):
            if concept.score >= SURE:
                best.setdefault(system_rank(concept.code), concept)
        return tuple(best[system] for system in sorted(best))

    def ranked(self, text: str, kind: MentionType | None = None) -> tuple[Concept, ...]:
        """All concepts that may be meant, the most probable first, the improbable ones too.

        Each terminology is looked into by itself: the scores of its concepts add up to 1 at most.
        Only drugs, problems and signs are looked for near a mention; of another `kind`, the very name counts.
        """
        return self._cached(text, kind) if len(text) <= LONGEST else ()

    def broader(self, text: str, kind: MentionType | None = None) -> tuple[Concept, ...]:
        """Concepts of the longest name that the text ends with: "basal pneumonia" is a pneumonia."""
        if len(text) > LONGEST:
            return ()
        for term in analyse(text)[1:]:
            last = text[term.start :]
            meaning = self._vocabulary.lookup(last)
            if meaning is None or not _compatible(meaning.type, kind):
                continue
            if not meaning.capitals or _is_abbreviation(last):
                return tuple(replace(each, score=each.score * BROADER_SCORE) for each in meaning.concepts)
        return ()

    def candidates(self, mention: Reading, system: str) -> list[Near]:
        """The concepts of a terminology that are weighed, nearest first."""
        vector = self._vectors.of(mention.key)
        return self._index.near(vector, system, CANDIDATES) if vector.any() else []

    def weighable(self, mention: Reading, candidates: Sequence[Near]) -> tuple[Figures, Figures]:
        """The figures of `models.linking.scoring` for each candidate, and for none of them."""
        names = [self._read(near.name) for near in candidates]
        cosines = [near.cosine for near in candidates]
        further = [near.further for near in candidates]
        return features(mention, names, cosines, further), outside_features(mention)

    def _ranked(self, text: str, kind: MentionType | None) -> tuple[Concept, ...]:
        meaning = self._vocabulary.lookup(text)
        abbreviation = _is_abbreviation(text)
        if meaning is not None and (abbreviation or not meaning.capitals):
            return meaning.concepts
        if abbreviation:
            return ()
        mention = read(text)
        found = [concept for system in _systems(kind) for concept in self._weighed(mention, system)]
        found.sort(key=lambda concept: (-concept.score, system_rank(concept.code), concept.code))
        return tuple(found)

    def _weighed(self, mention: Reading, system: str) -> Iterator[Concept]:
        candidates = self.candidates(mention, system)
        weights = self._weights[SYSTEMS.index(system)]
        shares = probabilities(*self.weighable(mention, candidates), weights)
        for near, share in zip(candidates, shares.tolist(), strict=True):
            score = round(share * (MAPPED_SCORE if near.mapped else 1.0), 3)
            if score:
                yield Concept(near.code, self._label(near.code), score)

    def _labelled(self, code: str) -> str:
        return self._vocabulary.label(code) or code


def load_linker(
    vocabulary: Vocabulary, *, cache_dir: Path | None = None, progress: Progress | None = None
) -> Linker:
    """The linker with the shipped weights; its index is kept below `cache_dir` and built there once.

    Raises `ModelUnavailable` when the weights are absent or damaged.
    """
    weights = read_weights()
    index = ensure_index(cache_dir, weights.vectors, weights.digest, progress)
    return Linker(vocabulary, index, weights.vectors, weights.logit)


def _systems(kind: MentionType | None) -> tuple[str, ...]:
    """Terminologies that a mention of this type may have codes of."""
    if kind is None:
        return SYSTEMS
    if kind is MentionType.DRUG:
        return (_DRUGS,)
    return _OF_FINDINGS if kind in _FINDINGS else ()


def _compatible(named: MentionType, kind: MentionType | None) -> bool:
    return kind is None or named is kind or (named in _FINDINGS and kind in _FINDINGS)


def _is_abbreviation(text: str) -> bool:
    """One short word, written in capitals mostly: its letters say nothing of what it stands for."""
    word = text.strip().removesuffix("s")
    return len(word) <= _SHORT and sum(map(str.isupper, word)) > 1

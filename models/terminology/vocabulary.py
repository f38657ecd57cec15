"""The compiled vocabulary: mapped arrays that answer by name, by code, and for all windows of a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from domain.errors import MedsearchError
from domain.text import Concept, MentionType
from models.analysis import analyse
from models.terminology.hashing import extend, name_key, word_key, word_keys
from models.terminology.strings import StringTable, mapped, part

FORMAT = 2
_TYPES = tuple(MentionType)
MAPPED_SCORE = 0.8


class VocabularyFormat(MedsearchError):
    """The folder does not hold a whole vocabulary of this version."""

    code = "models.vocabulary"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name stands for. `capitals`: only when it is written in capitals."""

    type: MentionType
    concepts: tuple[Concept, ...]
    capitals: bool


class Vocabulary:
    """Read-only; safe to share between threads and, through the page cache, between processes."""

    def __init__(self, folder: Path) -> None:
        try:
            facts = json.loads((folder / "vocabulary.json").read_text())
            if facts.get("format") != FORMAT:
                raise VocabularyFormat("The vocabulary has another version: build it again.")
            self.version: str = facts["version"]
            self._codes = StringTable.load(folder, "codes")
            self._labels = StringTable.load(folder, "labels")
            self._names = StringTable.load(folder, "names")
            arrays = {
                name: mapped(folder / f"{name}.npy")
                for name in (
                    "keys",
                    "meaning_of_key",
                    "lengths",
                    "types",
                    "links",
                    "link_ends",
                    "named",
                    "named_ends",
                    "parents",
                    "parent_ends",
                )
            }
        except (OSError, ValueError, KeyError) as error:
            raise VocabularyFormat("The vocabulary is not whole: build it again.") from error
        self._links, self._link_ends = arrays["links"], arrays["link_ends"]
        self._named, self._named_ends = arrays["named"], arrays["named_ends"]
        self._parents, self._parent_ends = arrays["parents"], arrays["parent_ends"]
        self._types = arrays["types"]
        edges = [0, *arrays["lengths"].tolist()]
        self._by_length = [(arrays["keys"][a:b], arrays["meaning_of_key"][a:b]) for a, b in pairwise(edges)]
        self.meaning = lru_cache(maxsize=20_000)(self._meaning)

    def __len__(self) -> int:
        """Number of different names."""
        return len(self._names)

    @property
    def concepts(self) -> int:
        """Number of codes."""
        return len(self._codes)

    def label(self, code: str) -> str | None:
        """Preferred label of a code such as `ICD10CM:J18.9`."""
        index = self._codes.find(code)
        return None if index is None else self._labels[index]

    def names(self, code: str) -> tuple[str, ...]:
        """All names of a concept, the plainest first; empty for an unknown code."""
        index = self._codes.find(code)
        if index is None:
            return ()
        return tuple(self._names[int(name)] for name in part(self._named, self._named_ends, index))

    def parents(self, code: str) -> tuple[str, ...]:
        """Codes of the next broader concepts in the same terminology; none for an unknown code or a drug."""
        index = self._codes.find(code)
        if index is None:
            return ()
        return tuple(self._codes[int(each)] for each in part(self._parents, self._parent_ends, index))

    def lookup(self, name: str) -> Meaning | None:
        """What exactly this name means, however it is cased, inflected or hyphenated."""
        words = [term.word for term in analyse(name)]
        if not 0 < len(words) <= len(self._by_length):
            return None
        keys, meanings = self._by_length[len(words) - 1]
        key = np.uint64(name_key(map(word_key, words)))
        position = int(np.searchsorted(keys, key))
        if position == len(keys) or keys[position] != key:
            return None
        return self.meaning(int(meanings[position]))

    def windows(self, words: list[str]) -> Iterator[tuple[int, int, int]]:
        """(first word, number of words, meaning) of every run of `words` that is a name, short ones first."""
        single = word_keys(words)
        keys = single
        for length, (known, meanings) in enumerate(self._by_length, 1):
            if len(keys) == 0:
                return
            places = np.searchsorted(known, keys)
            places[places == len(known)] = 0
            hits = np.flatnonzero(known[places] == keys) if len(known) else np.empty(0, dtype=np.int64)
            yield from ((int(hit), length, int(meanings[places[hit]])) for hit in hits)
            keys = extend(keys, single)

    def _meaning(self, index: int) -> Meaning:
        concepts = tuple(self._concept(int(link)) for link in part(self._links, self._link_ends, index))
        kind = int(self._types[index])
        return Meaning(_TYPES[kind >> 1], concepts, bool(kind & 1))

    def _concept(self, link: int) -> Concept:
        index = link >> 1
        return Concept(self._codes[index], self._labels[index], MAPPED_SCORE if link & 1 else 1.0)

"""Every name of the terminologies as a vector, in cells of near ones, mapped from files.

Unlike the vocabulary, which looks for names in running text, this has the inverted ("tumor, spinal"), long and
general names too. Built once into the folder of the vocabulary; every process maps the same pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.linking.vectors import NameVectors, Vectors
from models.terminology import sources
from models.terminology.build import (
    ensure_built,
    read_aliases,
    read_common_words,
    replacing,
    vocabulary_version,
)
from models.terminology.merging import Key, Surface, merge
from models.terminology.sources import SYSTEMS, Entry
from models.terminology.strings import StringTable, mapped
from models.terminology.vocabulary import VocabularyFormat

FORMAT = 1
CELL = 300
"""Names of a cell, about."""
ROUNDS = 6
"""Of k-means."""
PROBED = 12
"""Cells that are looked into."""
_BLOCK = 4096

Progress = Callable[[int, int], None]
"""Told how much is done of how much, while an index is built."""


@dataclass(frozen=True, slots=True)
class Near:
    """A concept by the nearest of its names; `further` is how many of its names are near besides.

    `mapped`: that name has the code from another terminology.
    """

    name: str
    cosine: float
    code: str
    mapped: bool
    further: int = 0


class NameIndex:
    """Read-only; safe to share between threads and, through the page cache, between processes."""

    def __init__(self, folder: Path, version: str | None = None) -> None:
        """Maps the folder; `VocabularyFormat` when it is not whole or not of this version."""
        try:
            facts = json.loads((folder / "linking.json").read_text())
            if facts["format"] != FORMAT or version not in (None, facts["version"]):
                raise VocabularyFormat("The index of names has another version: build it again.")
            self.version: str = facts["version"]
            codes = StringTable.load(folder, "codes")
            self._parts = {system: _Names(folder, system, codes) for system in SYSTEMS}
        except (OSError, ValueError, KeyError) as error:
            raise VocabularyFormat("The index of names is not whole: build it again.") from error

    def __len__(self) -> int:
        return sum(map(len, self._parts.values()))

    def near(self, vector: Vectors, system: str, count: int) -> list[Near]:
        """The concepts of the `count` nearest names of a terminology, nearest first.

        As far as the nearest cells hold them.
        """
        return self._parts[system].near(vector, count)


class _Names:
    """The names of one terminology."""

    def __init__(self, folder: Path, system: str, codes: StringTable) -> None:
        self._codes = codes
        self._names = StringTable.load(folder, f"{system}.names")
        self._vectors, self._centres, self._edges, self._links = (
            mapped(folder / f"{system}.{name}.npy") for name in ("vectors", "centres", "edges", "links")
        )

    def __len__(self) -> int:
        return len(self._names)

    def near(self, vector: Vectors, count: int) -> list[Near]:
        if not len(self):
            return []
        probed = sorted(_highest(self._centres @ vector, PROBED))
        ranges = [(int(self._edges[cell]), int(self._edges[cell + 1])) for cell in probed]
        rows = np.concatenate([np.arange(start, end) for start, end in ranges])
        vectors = np.concatenate([self._vectors[start:end] for start, end in ranges])
        cosines = vectors.astype(np.float32) @ (vector / np.float32(127))
        places = _highest(cosines, count)
        by_code: dict[int, list[int]] = {}
        for place, link in zip(places, self._links[rows[places]].tolist(), strict=True):
            by_code.setdefault(link >> 1, []).append(place)
        return [self.at(int(rows[own[0]]), float(cosines[own[0]]), len(own) - 1) for own in by_code.values()]

    def at(self, row: int, cosine: float = 1.0, further: int = 0) -> Near:
        """The name of a row."""
        link = int(self._links[row])
        return Near(self._names[row], cosine, self._codes[link >> 1], bool(link & 1), further)


def _highest(values: npt.NDArray[np.float32], count: int) -> list[int]:
    """Places of the highest values, highest first; the first of equals first."""
    if len(values) > count:
        limit = np.partition(values, len(values) - count)[len(values) - count]
        places = np.flatnonzero(values >= limit)
    else:
        places = np.arange(len(values))
    chosen: list[int] = places[np.argsort(-values[places], kind="stable")][:count].tolist()
    return chosen


def ensure_index(
    cache: Path | None, vectors: NameVectors, digest: str, progress: Progress | None = None
) -> NameIndex:
    """The index below `cache`, built there when it is absent (`ensure_vocabulary` says how)."""
    version = index_version(digest)

    def build(path: Path) -> None:
        build_index(path, all_names(sources.entries()), vectors, version=version, progress=progress)

    return ensure_built(cache, f"linking-{version}", partial(NameIndex, version=version), build)


def index_version(digest: str) -> str:
    """Identifies terminologies, rules and weights that an index was made of."""
    return sha256(f"{FORMAT} {vocabulary_version()} {digest}".encode()).hexdigest()[:12]


def all_names(entries: Iterable[Entry]) -> dict[Key, Surface]:
    """Names of all concepts, but for abbreviations and common words."""
    surfaces = merge(entries, read_aliases(), read_common_words(), accepts=lambda _, key: bool(key))
    return {key: surface for key, surface in surfaces.items() if not surface.capitals}


def build_index(
    path: Path,
    surfaces: dict[Key, Surface],
    vectors: NameVectors,
    *,
    version: str = "",
    progress: Progress | None = None,
) -> None:
    """Write an index to `path`, whole or not at all; what was there is replaced."""
    codes = sorted({code for surface in surfaces.values() for code in (*surface.codes, *surface.bridged)})
    number = {code: index for index, code in enumerate(codes)}
    named: dict[str, list[tuple[Key, str, int]]] = {system: [] for system in SYSTEMS}
    for key, surface in surfaces.items():
        for code, bridged in _links(surface):
            named[code.partition(":")[0]].append((key, surface.text, number[code] << 1 | bridged))
    done, total = 0, sum(map(len, named.values()))

    def tell(names: int) -> None:
        nonlocal done
        done += names
        if progress is not None:
            progress(done, total)

    with replacing(path) as folder:
        StringTable.of(codes).save(folder, "codes")
        for system, own in named.items():
            _write_names(folder, system, own, vectors, tell)
        facts = {"format": FORMAT, "version": version, "names": len(surfaces), "concepts": len(codes)}
        (folder / "linking.json").write_text(json.dumps(facts))


def _links(surface: Surface) -> list[tuple[str, bool]]:
    return [*((code, False) for code in surface.ranked()), *((code, True) for code in surface.bridged)]


def _write_names(
    folder: Path,
    system: str,
    named: Sequence[tuple[Key, str, int]],
    vectors: NameVectors,
    tell: Callable[[int], None],
) -> None:
    made = np.empty((len(named), vectors.dimension), dtype=np.int8)
    for start in range(0, len(named), _BLOCK):
        some = vectors.of_all(key for key, _, _ in named[start : start + _BLOCK])
        made[start : start + len(some)] = np.rint(some * 127)
        tell(len(some))
    centres, cell_of = _cells(made)
    order = np.argsort(cell_of, kind="stable")
    StringTable.of(named[row][1] for row in order.tolist()).save(folder, f"{system}.names")
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "vectors": made[order],
        "centres": centres,
        "edges": np.searchsorted(cell_of[order], np.arange(len(centres) + 1)).astype(np.uint32),
        "links": np.array([link for _, _, link in named], dtype=np.uint32)[order],
    }
    for name, array in arrays.items():
        np.save(folder / f"{system}.{name}.npy", array)


def _cells(vectors: npt.NDArray[np.int8]) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Centres by spherical k-means, and the cell of each vector. The same vectors give the same cells."""
    count = max(1, len(vectors) // CELL)
    step = max(1, len(vectors) // (count * 40))
    sample = _unit(vectors[::step].astype(np.float32))
    centres = sample[np.linspace(0, len(sample) - 1, count).astype(int)] if len(sample) else sample
    for _ in range(ROUNDS if len(sample) else 0):
        nearest = _nearest(sample, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        centres = np.where(np.linalg.norm(sums, axis=1, keepdims=True) > 0, _unit(sums), centres)
    return centres, _nearest(vectors, centres)


def _nearest(vectors: npt.NDArray[np.generic], centres: Vectors) -> npt.NDArray[np.int64]:
    blocks = (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))
    found = [np.argmax(block.astype(np.float32) @ centres.T, axis=1) for block in blocks]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
    return unit

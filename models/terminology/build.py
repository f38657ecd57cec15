"""Compiles the packaged terminologies into the arrays of `vocabulary`, once (some ten seconds)."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from domain.text import MentionType
from models import analysis
from models.terminology import sources
from models.terminology.hashing import form_key, name_key
from models.terminology.merging import Key, Surface, key_of, merge
from models.terminology.names import LONGEST_NAME
from models.terminology.sources import Entry, Name, data_lines
from models.terminology.strings import StringTable
from models.terminology.vocabulary import FORMAT, Vocabulary, VocabularyFormat

RULES = 1
"""Raised with any change of the rules in `names` and `merging`."""

Opened = TypeVar("Opened")


def ensure_vocabulary(cache: Path | None) -> Vocabulary:
    """The vocabulary below `cache`, built there when it is absent; without `cache`, in a temporary folder.

    Several processes may call this at once: one builds, the others wait for it.
    """
    return ensure_built(cache, f"vocabulary-{vocabulary_version()}", Vocabulary, build_vocabulary)


def ensure_built(
    cache: Path | None, name: str, opened: Callable[[Path], Opened], build: Callable[[Path], None]
) -> Opened:
    """What `opened` makes of the folder `name` below `cache`, built there first where it is not whole.

    `opened` raises `VocabularyFormat` for a folder that is absent or not whole.
    """
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="medsearch-vocabulary-") as folder:
            build(Path(folder) / name)
            return opened(Path(folder) / name)
    path = cache / name
    try:
        return opened(path)
    except VocabularyFormat:
        cache.mkdir(parents=True, exist_ok=True)
    with (cache / "building.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return opened(path)
        except VocabularyFormat:
            build(path)
            return opened(path)


def vocabulary_version() -> str:
    """Identifies packages, rules and lists that a vocabulary was made of."""
    content = json.dumps([FORMAT, RULES, analysis.VERSION, sources.versions()], sort_keys=True).encode()
    lists = b"".join(
        (sources.DATA / name).read_bytes()
        for name in ("aliases.tsv", "common_words.txt", "mesh_corrections.tsv")
    )
    return sha256(content + lists).hexdigest()[:12]


def build_vocabulary(path: Path, entries: Sequence[Entry] = ()) -> None:
    """Write a vocabulary of `entries`, or of the packaged terminologies, to `path`, whole or not at all.

    What was there is replaced.
    """
    with replacing(path) as unfinished:
        entries = entries or list(sources.entries())
        surfaces = merge(entries, read_aliases(), read_common_words())
        _write(unfinished, surfaces, entries)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `path` when all has gone well."""
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield unfinished
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read_aliases() -> dict[str, tuple[Name, ...]]:
    """Our own list: a known name, then further names, those in capitals being abbreviations."""
    aliases: dict[str, tuple[Name, ...]] = {}
    for line in data_lines("aliases.tsv"):
        target, *names = line.split("\t")
        aliases[target] = tuple(Name(name, 1, capitals=_is_abbreviation(name)) for name in names)
    return aliases


def _is_abbreviation(name: str) -> bool:
    return " " not in name and sum(letter.isupper() for letter in name) > 1


def read_common_words() -> set[Key]:
    """Names that mostly mean something else."""
    return {key_of(word) for line in data_lines("common_words.txt") for word in line.split(",")}


def _write(folder: Path, surfaces: dict[Key, Surface], entries: Sequence[Entry]) -> None:
    labels = {entry.code: entry.label for entry in entries}
    named = {code for surface in surfaces.values() for code in (*surface.codes, *surface.bridged)}
    codes = sorted(named | {entry.code for entry in entries if entry.type is not None})
    number = {code: index for index, code in enumerate(codes)}
    StringTable.of(codes).save(folder, "codes")
    StringTable.of(labels[code] for code in codes).save(folder, "labels")
    _write_parents(folder, entries, number)
    _write_keys(folder, surfaces, number)
    _write_names(folder, surfaces, number)
    facts = {
        "format": FORMAT,
        "version": vocabulary_version(),
        "names": len(surfaces),
        "concepts": len(codes),
    }
    (folder / "vocabulary.json").write_text(json.dumps(facts))


def _write_parents(folder: Path, entries: Sequence[Entry], number: dict[str, int]) -> None:
    parents: list[dict[int, None]] = [{} for _ in number]
    for entry in entries:
        if entry.code in number:
            own = parents[number[entry.code]]
            own.update((number[parent], None) for parent in entry.parents if parent in number)
    np.save(folder / "parents.npy", np.array([each for own in parents for each in own], dtype=np.uint32))
    np.save(folder / "parent_ends.npy", np.cumsum([len(own) for own in parents], dtype=np.uint32))


def _write_keys(folder: Path, surfaces: dict[Key, Surface], number: dict[str, int]) -> None:
    rows = sorted((len(key), name_key(map(form_key, key)), key) for key in surfaces)
    meanings: dict[tuple[int, tuple[int, ...]], int] = {}
    indexes = [meanings.setdefault(_meaning(surfaces[key], number), len(meanings)) for _, _, key in rows]
    lengths = [sum(length <= limit for length, _, _ in rows) for limit in range(1, LONGEST_NAME + 1)]
    links = [link for _, meaning in meanings for link in meaning]
    arrays: dict[str, npt.NDArray[np.unsignedinteger]] = {
        "keys": np.array([key for _, key, _ in rows], dtype=np.uint64),
        "meaning_of_key": np.array(indexes, dtype=np.uint32),
        "lengths": np.array(lengths, dtype=np.uint32),
        "types": np.array([kind for kind, _ in meanings], dtype=np.uint8),
        "links": np.array(links, dtype=np.uint32),
        "link_ends": np.cumsum([len(meaning) for _, meaning in meanings], dtype=np.uint32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def _meaning(surface: Surface, number: dict[str, int]) -> tuple[int, tuple[int, ...]]:
    """Type and concepts as numbers, in the order of the systems; bit 0 says "in capitals" and "bridged"."""
    linked = [(code, 0) for code in surface.ranked()] + [(code, 1) for code in surface.bridged]
    linked.sort(key=lambda pair: sources.system_rank(pair[0]))
    kind = list(MentionType).index(surface.type) << 1 | int(surface.capitals)
    return kind, tuple(number[code] << 1 | bridged for code, bridged in linked)


def _write_names(folder: Path, surfaces: dict[Key, Surface], number: dict[str, int]) -> None:
    named: list[list[tuple[int, int]]] = [[] for _ in number]
    for index, surface in enumerate(surfaces.values()):
        for code, rank in surface.codes.items():
            named[number[code]].append((rank, index))
        for code in surface.bridged:
            named[number[code]].append((_BRIDGED_RANK, index))
    StringTable.of(surface.text for surface in surfaces.values()).save(folder, "names")
    flat = [index for names in named for _, index in sorted(names)]
    np.save(folder / "named.npy", np.array(flat, dtype=np.uint32))
    np.save(folder / "named_ends.npy", np.cumsum([len(names) for names in named], dtype=np.uint32))


_BRIDGED_RANK = 9

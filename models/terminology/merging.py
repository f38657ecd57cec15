"""One meaning a name, across systems: what the terminologies say separately, put together.

A name takes one code of each system that has it. Where a system lacks the name, its code comes over a bridge:
two codes of different systems that share a plain name mean the same (the phenotype "heart attack" and I21.9
share "myocardial infarction").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from domain.text import MentionType
from models.analysis import pieces
from models.spelling import lookup_form
from models.terminology.names import usable
from models.terminology.sources import Entry, Name, system_rank

_DECIDING = ("ICD10CM", "MESH", "HP", "DRUGBANK")
_SHORT = {"MESH": 4, "DRUGBANK": 3}
"""Names up to this length from sources without capitals are taken for abbreviations."""
_BRIDGE = 3
"""Highest sum of ranks at which a shared name makes two codes equal."""
Key = tuple[str, ...]


@dataclass(slots=True)
class Surface:
    """One name with the codes that have it (code -> rank)."""

    text: str
    capitals: bool
    types: dict[str, MentionType] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    bridged: tuple[str, ...] = ()

    @property
    def type(self) -> MentionType:
        """ICD-10-CM decides between problem and sign where it knows the name, else MeSH, else HPO."""
        kinds = set(self.types.values())
        if len(kinds) == 1:
            return kinds.pop()
        first = min(
            self.types, key=lambda code: (_DECIDING.index(code.partition(":")[0]), self.codes.get(code, 0))
        )
        return self.types[first]

    def ranked(self) -> list[str]:
        """One code of each system, systems in their order."""
        codes = list(self.codes)
        if len(codes) > 1:  # most names have one
            best: dict[int, str] = {}
            for code in sorted(codes, key=lambda code: (self.codes[code], _specific(code), code)):
                best.setdefault(system_rank(code), code)
            codes = [best[system] for system in sorted(best)]
        if self.type is not MentionType.DRUG:
            codes = [code for code in codes if not code.startswith("DRUGBANK:")]
        return codes


def key_of(name: str) -> Key:
    return tuple(_form(word) for word, _, _, _ in pieces(name))


_form = lru_cache(maxsize=None)(lookup_form)


def recognisable(name: str, key: Key) -> bool:
    """Whether a name can be looked for in text."""
    return "," not in name and usable(list(key))


def merge(
    entries: Iterable[Entry],
    aliases: Mapping[str, tuple[Name, ...]],
    excluded: set[Key],
    accepts: Callable[[str, Key], bool] = recognisable,
) -> dict[Key, Surface]:
    """All names that `accepts` lets pass. `aliases` are further names by a known one."""
    surfaces: dict[Key, Surface] = {}
    for entry in entries:
        for name in entry.names:
            key = key_of(name.text)
            if key not in excluded and accepts(name.text, key):
                _add(surfaces, name, key, entry)
    for key in [key for key, surface in surfaces.items() if not surface.types]:
        del surfaces[key]
    _add_aliases(surfaces, aliases)
    _bridge(surfaces)
    return surfaces


def _add(surfaces: dict[Key, Surface], name: Name, key: Key, entry: Entry) -> None:
    capitals = name.capitals or _looks_like_abbreviation(key, entry)
    if capitals and len(key) == 1 and len(key[0]) <= 2:
        return
    surface = surfaces.setdefault(key, Surface(name.text, capitals))
    surface.capitals &= capitals
    surface.codes[entry.code] = min(name.rank, surface.codes.get(entry.code, name.rank))
    if entry.type is not None:
        surface.types[entry.code] = entry.type


def _looks_like_abbreviation(key: Key, entry: Entry) -> bool:
    return len(key) == 1 and len(key[0]) <= _SHORT.get(entry.code.partition(":")[0], 0)


def _add_aliases(surfaces: dict[Key, Surface], aliases: Mapping[str, tuple[Name, ...]]) -> None:
    """An alias takes its target's codes, but for the systems in which it is a name itself."""
    for target, names in aliases.items():
        meant = surfaces.get(key_of(target))
        if meant is None:
            raise ValueError(f"alias of an unknown name: {target}")
        for name in names:
            surface = surfaces.setdefault(key_of(name.text), Surface(name.text, name.capitals))
            present = {system_rank(code) for code in surface.codes}
            for code, rank in meant.codes.items():
                if system_rank(code) not in present:
                    surface.codes[code] = rank + 1
            surface.types.update({code: kind for code, kind in meant.types.items() if code in surface.codes})


def _bridge(surfaces: dict[Key, Surface]) -> None:
    equals: dict[str, dict[int, tuple[int, str]]] = {}
    for surface in surfaces.values():
        for one, other, weight in _pairs(surface):
            known = equals.setdefault(one, {})
            system = system_rank(other)
            known[system] = min(known.get(system, (weight, other)), (weight, other))
    kinds = {code: kind for surface in surfaces.values() for code, kind in surface.types.items()}
    for surface in surfaces.values():
        own = surface.ranked()
        present = {system_rank(code) for code in own}
        found: dict[int, str] = {}
        for code in own:
            for system, (_, other) in equals.get(code, {}).items():
                if system not in present:
                    found.setdefault(system, other)
        surface.bridged = tuple(found[system] for system in sorted(found))
        surface.types.update({code: kinds[code] for code in surface.bridged if code in kinds})


def _pairs(surface: Surface) -> Iterator[tuple[str, str, int]]:
    """Codes of different systems that this name makes equal. A drug equals nothing: it has one system."""
    codes = surface.ranked()
    for one in codes:
        for other in codes:
            weight = surface.codes[one] + surface.codes[other]
            if one != other and weight <= _BRIDGE:
                yield one, other, weight


def _specific(code: str) -> int:
    """Among equals the code that stands for "unspecified" is the right one: those end in 9, 0 or A."""
    return int(code[-1] not in "9A0")

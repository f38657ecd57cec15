"""The cues of the rule engine: which words deny, doubt, date, suppose, or speak of relatives, and how far.

The cues themselves are data (`data/cues.txt`, where the notation is described).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from itertools import product

from models.analysis import fold

FAR = 30
"""Words that the scope of a cue without a bound of its own reaches: text without full stops has no other end."""


class Effect(StrEnum):
    """What a cue does to the mentions in its scope; END stops other scopes, NONE only looks like a cue."""

    NEGATED = "negated"
    UNCERTAIN = "uncertain"
    HISTORICAL = "historical"
    HYPOTHETICAL = "hypothetical"
    FAMILY = "family"
    END = "end"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rule:
    """A cue's effects on mentions behind it (`forward`) or before it, at most `limit` words away."""

    effects: tuple[Effect, ...]
    forward: bool
    limit: int = FAR


class CueTable:
    """Cues by their words, found from a place in a text, the longest first."""

    def __init__(self, cues: Mapping[tuple[str, ...], tuple[Rule, ...]]) -> None:
        self._cues = cues
        lengths: dict[str, set[int]] = {}
        for words in cues:
            lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {word: sorted(known, reverse=True) for word, known in lengths.items()}

    def __len__(self) -> int:
        return len(self._cues)

    def rules(self) -> Iterator[Rule]:
        for rules in self._cues.values():
            yield from rules

    def longest_at(self, words: Sequence[str], position: int) -> tuple[int, tuple[Rule, ...]] | None:
        """(number of words, rules) of the longest cue that begins at `position`."""
        for length in self._lengths.get(words[position], ()):
            own = tuple(words[position : position + length])
            if own in self._cues:
                return len(own), self._cues[own]
        return None


@cache
def cue_table() -> CueTable:
    """The packaged cues. A cue may stand in several groups."""
    return read_cues(
        (files("models.assertion") / "data" / "cues.txt").read_text(encoding="utf-8").splitlines()
    )


def read_cues(lines: Iterable[str]) -> CueTable:
    """Parse the notation of `cues.txt`; raises `ValueError` on a group that is not known."""
    written = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    split = written.index("[lists]") if "[lists]" in written else len(written)
    lists = {
        name.strip(): content.strip()
        for name, _, content in (line.partition("=") for line in written[split + 1 :])
    }
    found: dict[tuple[str, ...], tuple[Rule, ...]] = {}
    effects: tuple[Effect, ...] = ()
    forward = True
    for line in written[:split]:
        if line.startswith("["):
            effects, forward = _group(line)
            continue
        cue, _, limit = line.partition(": ") if line[0] != ":" else _behind_colon(line)
        rule = Rule(effects, forward, int(limit) if limit else FAR)
        for words in _spelled_out(cue, lists):
            found[words] = (*found.get(words, ()), rule)
    return CueTable(found)


def _group(line: str) -> tuple[tuple[Effect, ...], bool]:
    words = line.strip("[]").split()
    reach = words[-1] if words[-1] in ("after", "before") else None
    return tuple(Effect(word) for word in (words[:-1] if reach else words)), reach != "before"


def _behind_colon(line: str) -> tuple[str, str, str]:
    cue, separator, limit = line[1:].partition(": ")
    return f":{cue}", separator, limit


def _spelled_out(cue: str, lists: dict[str, str]) -> Iterator[tuple[str, ...]]:
    slots = [cue_part.format_map(lists).split("|") for cue_part in cue.split()]
    for choice in product(*slots):
        yield tuple(word for part in choice if part != "_" for word in _words(part))


def _words(part: str) -> tuple[str, ...]:
    """As `context` sees them: punctuation is a word, `h/o` are two."""
    return tuple(fold(word) or word for word in part.split("/")) if part[0].isalnum() else (part,)

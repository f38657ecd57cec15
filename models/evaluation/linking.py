"""Linking judged by names whose concepts are known: rows of a file, or synonyms held out of the terminologies.

The file is tab-separated with a header, `text concept` in any order, other columns are ignored. A concept is
`SYSTEM:code`; where several are right they stand with `|` between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from domain.text import Concept
from models.evaluation.tables import parse_table, read_table
from models.linking.linker import SURE
from models.terminology.build import read_aliases
from models.terminology.merging import Key, key_of
from models.terminology.sources import SYSTEMS, Entry

COLUMNS = ("text", "concept")
DEPTH = 5
_PART = 5
_SAID = 1
"""Highest rank of a name that a terminology itself gives; others are made of it."""
_SEED = b"linking 1"

Ranked = Callable[[str], Sequence[Concept]]
"""The concepts of a text, the most probable first; none where it abstains."""


@dataclass(frozen=True, slots=True)
class Named:
    """A text and the concepts that it may be linked to."""

    line: int
    text: str
    concepts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """Concepts of the terminologies that the row's are of, the most probable first."""

    row: Named
    concepts: tuple[Concept, ...]

    @property
    def linked(self) -> bool:
        """Whether the first concept is sure enough to be given."""
        return bool(self.concepts) and self.concepts[0].score >= SURE

    def right(self, depth: int = 1) -> bool:
        """Whether one of the first `depth` concepts is right."""
        return any(concept.code in self.row.concepts for concept in self.concepts[:depth])


@dataclass(frozen=True, slots=True)
class LinkingScores:
    """Answers in the order of the rows. A share of nothing is 0."""

    answers: tuple[Answer, ...]

    @property
    def linked(self) -> int:
        """Texts that were given a concept; of the others it abstained."""
        return sum(answer.linked for answer in self.answers)

    @property
    def coverage(self) -> float:
        """Share of the texts that were given a concept."""
        return self.linked / (len(self.answers) or 1)

    @property
    def precision(self) -> float:
        """Share of the given concepts that are right."""
        return sum(answer.linked and answer.right() for answer in self.answers) / (self.linked or 1)

    def accuracy(self, depth: int = 1) -> float:
        """Share of the texts of which one of the first `depth` concepts is right, sure enough or not."""
        return sum(answer.right(depth) for answer in self.answers) / (len(self.answers) or 1)

    def figures(self) -> dict[str, float | int]:
        """For a table or JSON; shares rounded to four places."""
        shares = {
            "accuracy_at_1": self.accuracy(),
            f"accuracy_at_{DEPTH}": self.accuracy(DEPTH),
            "coverage": self.coverage,
            "precision": self.precision,
            "calibration_error": calibration_error(self),
        }
        return {
            "texts": len(self.answers),
            "abstained": len(self.answers) - self.linked,
            **{name: round(share, 4) for name, share in shares.items()},
        }


def read_named(path: Path) -> list[Named]:
    """The rows of a TSV file (gzip or not). Raises `Invalid`, which names the lines that are wrong."""
    return read_table(path, COLUMNS, _named)


def parse_named(content: str, name: str) -> list[Named]:
    """The rows of TSV text. Raises `Invalid`, as `read_named`."""
    return parse_table(content, name, COLUMNS, _named)


def evaluate(ranked: Ranked, rows: Iterable[Named]) -> LinkingScores:
    """Links every text by itself. Only concepts of the terminologies of the row's own concepts are judged."""
    return LinkingScores(tuple(Answer(row, tuple(_judged(row, ranked(row.text)))) for row in rows))


def calibration(scores: LinkingScores, bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean score, share that is right, answers) of the first concepts, by tenths of the score."""
    parts: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for answer in scores.answers:
        if answer.concepts:
            score = answer.concepts[0].score
            parts[min(int(score * bins), bins - 1)].append((score, answer.right()))
    return [
        (sum(score for score, _ in own) / len(own), sum(right for _, right in own) / len(own), len(own))
        for own in parts
        if own
    ]


def calibration_error(scores: LinkingScores) -> float:
    """Expected calibration error (Naeini et al. 2015) of the first concepts, over ten bins; 0 of none."""
    parts = calibration(scores)
    total = sum(count for *_, count in parts) or 1
    return sum(abs(score - right) * count for score, right, count in parts) / total


def listing(scores: LinkingScores, parents: Callable[[str], Sequence[str]]) -> Iterator[str]:
    """A line for each text that was not linked to the right concept: tab-separated."""
    yield "line\ttext\tconcept\tlinked\tfound\tlabel\tscore\trank\tkind\n"
    for answer in scores.answers:
        if answer.linked and answer.right():
            continue
        first = answer.concepts[0] if answer.concepts else Concept("", "", 0.0)
        rank = next((n for n, each in enumerate(answer.concepts, 1) if each.code in answer.row.concepts), "")
        fields = (
            answer.row.line,
            " ".join(answer.row.text.split()),
            "|".join(sorted(answer.row.concepts)),
            "yes" if answer.linked else "no",
            first.code,
            first.label,
            f"{first.score:.3f}",
            rank,
            _kind(first.code, answer.row.concepts, parents),
        )
        yield "\t".join(map(str, fields)) + "\n"


def held_out(entries: Iterable[Entry]) -> dict[str, list[Named]]:
    """Each fifth synonym, by its hash, with the concepts of a terminology that have it.

    Names that lead a concept and names of our own list are never held out, nor abbreviations.
    """
    own_list = read_aliases().items()
    kept = {key_of(text) for target, names in own_list for text in (target, *(name.text for name in names))}
    texts: dict[str, dict[Key, tuple[str, set[str]]]] = {system: {} for system in SYSTEMS}
    abbreviations: set[Key] = set()
    for entry in entries:
        for place, name in enumerate(entry.names):
            key = key_of(name.text)
            if place == 0:
                kept.add(key)
            if name.capitals:
                abbreviations.add(key)
            own = texts[entry.code.partition(":")[0]]
            if name.rank <= _SAID and entry.type is not None:
                own.setdefault(key, (name.text, set()))[1].add(entry.code)
    return {
        system: [
            Named(0, text, frozenset(codes))
            for key, (text, codes) in own.items()
            if key and key not in kept and key not in abbreviations and _share(key) % _PART == 0
        ]
        for system, own in texts.items()
    }


def halves(rows: Iterable[Named]) -> tuple[list[Named], list[Named]]:
    """Held-out rows in two parts: what scores are calibrated on, what they are reported on."""
    parts: tuple[list[Named], list[Named]] = ([], [])
    for row in rows:
        parts[_share(key_of(row.text)) // _PART % 2].append(row)
    return parts


def without(entries: Iterable[Entry], names: Iterable[str]) -> list[Entry]:
    """The terminologies as if nobody had ever used these names."""
    away = {key_of(name) for name in names}
    return [
        replace(entry, names=tuple(name for name in entry.names if key_of(name.text) not in away))
        for entry in entries
    ]


def _share(key: Key) -> int:
    return int.from_bytes(blake2b(" ".join(key).encode(), key=_SEED, digest_size=6).digest(), "big")


def _judged(row: Named, ranked: Sequence[Concept]) -> Iterator[Concept]:
    systems = {code.partition(":")[0] for code in row.concepts}
    return (concept for concept in ranked if concept.code.partition(":")[0] in systems)


def _kind(found: str, right: frozenset[str], parents: Callable[[str], Sequence[str]]) -> str:
    if not found:
        return "nothing"
    if found in right:
        return "right"
    if any(found in parents(code) for code in right):
        return "parent"
    return "child" if right & set(parents(found)) else "other"


def _named(line: int, fields: dict[str, str]) -> Named:
    text, concepts = fields["text"], frozenset(filter(None, map(str.strip, fields["concept"].split("|"))))
    if not text.strip():
        raise ValueError("the text is empty")
    if not concepts or not all(":" in code.strip(":") for code in concepts):
        raise ValueError(f"{fields['concept']!r} is not a concept such as HP:0001250")
    return Named(line, text, concepts)

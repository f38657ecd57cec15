"""Assertion judged against labelled rows: a text, a mention's span, and the value of each axis that was judged.

The file is tab-separated with a header; `text start end polarity certainty temporality experiencer` in any
order, other columns are kept and ignored. Offsets are half-open code points of the text, an empty value is not
judged. A text with tabs, quotes or line breaks may be quoted as in CSV.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from domain.text import Assertion, Certainty, Experiencer, Mention, MentionType, Page, Polarity, Temporality
from models.assertion import AssertionModel
from models.evaluation.scores import Counts
from models.evaluation.tables import parse_table, read_table
from models.sections import find_sections

AXES: dict[str, type[StrEnum]] = {
    "polarity": Polarity,
    "certainty": Certainty,
    "temporality": Temporality,
    "experiencer": Experiencer,
}
COLUMNS = ("text", "start", "end", *AXES)


@dataclass(frozen=True, slots=True)
class Judged:
    """One row: what a person says about text[start:end]. `values` holds the judged axes only."""

    line: int
    text: str
    start: int
    end: int
    values: dict[str, str]
    extra: dict[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """An axis that the model judged otherwise."""

    row: Judged
    axis: str
    found: str
    cue: str


@dataclass(frozen=True, slots=True)
class AssertionScores:
    """Counts by `(axis, value)`, for the values that occur in the rows or were found."""

    mentions: int
    classes: dict[tuple[str, str], Counts]
    differences: tuple[Difference, ...]

    def judged(self, axis: str) -> int:
        """Rows that say something about the axis."""
        return sum(counts.support for (of, _), counts in self.classes.items() if of == axis)

    def accuracy(self, axis: str) -> float:
        """Share of the judged rows whose value was found; 0 when none is judged."""
        right = sum(counts.right for (of, _), counts in self.classes.items() if of == axis)
        return right / (self.judged(axis) or 1)


def read_judged(path: Path) -> list[Judged]:
    """The rows of a TSV file (gzip or not). Raises `Invalid`, which names the lines that are wrong."""
    return read_table(path, COLUMNS, _judged)


def parse_judged(content: str, name: str) -> list[Judged]:
    """The rows of TSV text. Raises `Invalid`, as `read_judged`."""
    return parse_table(content, name, COLUMNS, _judged)


def evaluate(model: AssertionModel, rows: Sequence[Judged], *, articles: bool = False) -> AssertionScores:
    """The model's assertions beside those of the rows. Sections are found in each row's text.

    `articles`: the texts are of articles, which the model is told.
    """
    right: Counter[tuple[str, str]] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    missed: Counter[tuple[str, str]] = Counter()
    differences: list[Difference] = []
    for row, assertion in zip(rows, assess_rows(model, rows, articles=articles), strict=True):
        for axis, expected in row.values.items():
            found = str(getattr(assertion, axis))
            if found == expected:
                right[axis, expected] += 1
                continue
            wrong[axis, found] += 1
            missed[axis, expected] += 1
            differences.append(Difference(row, axis, found, assertion.cue.text if assertion.cue else ""))
    known = right.keys() | wrong.keys() | missed.keys()
    ordered = [(axis, str(value)) for axis, values in AXES.items() for value in values]
    return AssertionScores(
        len(rows),
        {key: Counts(right[key], wrong[key], missed[key]) for key in ordered if key in known},
        tuple(differences),
    )


def assess_rows(model: AssertionModel, rows: Sequence[Judged], *, articles: bool = False) -> list[Assertion]:
    """The model's assertion of every row, in their order; rows of one text are judged together."""
    by_text: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        by_text.setdefault(row.text, []).append(index)
    found: dict[int, Assertion] = {}
    for text, indices in by_text.items():
        page = Page(1, text)
        mentions = [_mention(rows[index]) for index in indices]
        assertions = model.assess(page, mentions, find_sections([page]), article=articles)
        found.update(zip(indices, assertions, strict=True))
    return [found[index] for index in range(len(rows))]


def _mention(row: Judged) -> Mention:
    return Mention(1, row.start, row.end, row.text[row.start : row.end], MentionType.PROBLEM)


def _judged(line: int, row: dict[str, str]) -> Judged:
    """Raises `ValueError` with what is wrong."""
    text = row["text"]
    start, end = _offset("start", row["start"]), _offset("end", row["end"])
    if not start < end <= len(text):
        raise ValueError(f"{start}..{end} is no span of a text of {len(text)} characters")
    values = {axis: row[axis].strip() for axis in AXES if row[axis].strip()}
    for axis, value in values.items():
        if value not in list(AXES[axis]):
            raise ValueError(f"{axis} '{value}' is not one of {', '.join(AXES[axis])}")
    return Judged(line, text, start, end, values, {k: v for k, v in row.items() if k not in COLUMNS})


def _offset(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", value.strip()):
        raise ValueError(f"{name} '{value}' is not a whole number from 0")
    return int(value)


def listing(differences: Iterable[Difference]) -> Iterator[str]:
    """Lines of a TSV with one difference each, for people."""
    yield "line\taxis\texpected\tfound\tcue\tmention\ttext\n"
    for of in differences:
        row = of.row
        parts = (
            row.line, of.axis, row.values[of.axis], of.found, of.cue, row.text[row.start : row.end], row.text,
        )  # fmt: skip
        yield "\t".join(" ".join(str(part).split()) for part in parts) + "\n"

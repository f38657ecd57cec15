"""Assertion judged against labelled rows: a text, a mention's span, and the value of each axis that was judged.

The file is tab-separated with a header; `text start end polarity certainty temporality experiencer` in any
order, other columns are kept and ignored. Offsets are half-open code points of the text, an empty value is not
judged. A text with tabs, quotes or line breaks may be quoted as in CSV.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from domain.errors import Invalid
from domain.text import Assertion, Certainty, Experiencer, Mention, MentionType, Page, Polarity, Temporality
from models.assertion import AssertionModel
from models.evaluation.corpora import DAMAGED
from models.evaluation.scores import Counts
from models.sections import find_sections

AXES: dict[str, type[StrEnum]] = {
    "polarity": Polarity,
    "certainty": Certainty,
    "temporality": Temporality,
    "experiencer": Experiencer,
}
COLUMNS = ("text", "start", "end", *AXES)
SHOWN_FAULTS = 10
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


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
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except DAMAGED as error:
        raise Invalid(f"{path} cannot be read: {error}.") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Invalid(f"{path} line {line}: not UTF-8.") from error
    return parse_judged(text, str(path))


def parse_judged(content: str, name: str) -> list[Judged]:
    """The rows of TSV text. Raises `Invalid`, as `read_judged`."""
    lines = _records(content)
    if not lines:
        raise Invalid(f"{name} is empty: a header row with the columns {' '.join(COLUMNS)} is needed.")
    header = [column.strip().lower() for column in lines[0][1]]
    if absent := [column for column in COLUMNS if column not in header]:
        raise Invalid(
            f"{name} line 1: no column {', '.join(absent)}. Needed, separated by tabs: {' '.join(COLUMNS)}."
        )
    rows: list[Judged] = []
    faults: list[str] = []
    for line, fields in lines[1:]:
        try:
            rows.append(_judged(line, header, fields))
        except ValueError as fault:
            faults.append(f"{name} line {line}: {fault}.")
    if faults:
        more = [f"... and {len(faults) - SHOWN_FAULTS} more."] if len(faults) > SHOWN_FAULTS else []
        raise Invalid("\n".join([*faults[:SHOWN_FAULTS], *more]))
    if not rows:
        raise Invalid(f"{name} has a header and no rows.")
    return rows


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


def _records(content: str) -> list[tuple[int, list[str]]]:
    """(line number, fields), empty lines left out: plain lines, or CSV when a quoted field spans several."""
    plain = [
        (number, [_unquoted(field) for field in line.removesuffix("\r").split("\t")])
        for number, line in enumerate(content.split("\n"), 1)
        if line.strip()
    ]
    if len({len(fields) for _, fields in plain}) == 1 or '"' not in content:
        return plain
    quoted = csv.reader(io.StringIO(content, newline=""), delimiter="\t", strict=True)
    records: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for fields in quoted:
            if fields:
                records.append((begins, fields))
            begins = quoted.line_num + 1
    except csv.Error:
        return plain
    return records if len({len(fields) for _, fields in records}) == 1 else plain


def _unquoted(field: str) -> str:
    """A quote that CSV doubled is one; a text that is merely between quotes keeps them."""
    if '""' in field[1:-1] and _QUOTED.fullmatch(field):
        return field[1:-1].replace('""', '"')
    return field


def _judged(line: int, header: Sequence[str], fields: Sequence[str]) -> Judged:
    """Raises `ValueError` with what is wrong."""
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} columns, the header has {len(header)}")
    row = dict(zip(header, fields, strict=True))
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

"""The demonstration letters, read from `sources/`: a few lines of YAML, then a small markup with gaps.

    # Heading     - item of a list     | cell | cell |  (the first row is the head)     ===  (new page)

Gaps: {name} {surname} {honorific} {born} {age} {record}, and {date}, {date-3}, {date+7} (days before, after).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Literal

import yaml

from cluster.demo.people import CLINICIANS, PATIENTS, Clinician, Patient
from domain.documents import DocumentType

FOLDER = Path(__file__).parent / "sources"
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_GAP = re.compile(r"\{(\w+)([+-]\d+)?\}")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a page. `rows` has one cell a row, except for tables."""

    kind: Literal["heading", "item", "table", "paragraph"]
    rows: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        return self.rows[0][0]


@dataclass(frozen=True, slots=True)
class Letter:
    """One source: what is written, by whom, about whom, when. A guide has a department and no patient."""

    name: str
    title: str
    type: DocumentType
    format: Literal["pdf", "text"]
    author: Clinician
    patient: Patient | None
    department: str | None
    date: date
    body: str

    def pages(self) -> Iterator[list[Block]]:
        """The pages' blocks, with all gaps filled."""
        values = _values(self)
        for page in self.body.split("\n===\n"):
            yield list(_blocks(_GAP.sub(lambda gap: _fill(gap, values, self.date), page)))


@cache
def all_letters() -> tuple[Letter, ...]:
    """The whole demonstration set, in the order of file names."""
    return tuple(_read(path) for path in sorted(FOLDER.glob("*.md")))


def long_date(day: date) -> str:
    """`14 March 2025`, whatever the locale."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _read(path: Path) -> Letter:
    head, _, body = path.read_text(encoding="utf-8").partition("\n---\n")
    fields = yaml.safe_load(head)
    return Letter(
        name=path.stem,
        title=fields["title"],
        type=DocumentType(fields["type"]),
        format=fields["format"],
        author=next(clinician for clinician in CLINICIANS if clinician.username == fields["account"]),
        patient=PATIENTS[fields["patient"]] if "patient" in fields else None,
        department=fields.get("department"),
        date=fields["date"],
        body=body.strip("\n"),
    )


def _values(letter: Letter) -> dict[str, str]:
    patient = letter.patient
    if patient is None:
        return {}
    return {
        "name": patient.name,
        "surname": patient.surname,
        "honorific": patient.honorific,
        "record": patient.record,
        "born": long_date(patient.born),
        "age": str(patient.age(letter.date)),
    }


def _fill(gap: re.Match[str], values: dict[str, str], day: date) -> str:
    name, shift = gap.groups()
    return long_date(day + timedelta(days=int(shift or 0))) if name == "date" else values[name]


def _kind(line: str) -> str:
    if not line.strip():
        return "gap"
    return {"#": "heading", "-": "item", "|": "table"}.get(line[0], "paragraph")


def _blocks(page: str) -> Iterator[Block]:
    for kind, group in groupby(page.split("\n"), _kind):
        lines = list(group)
        match kind:
            case "table":
                yield Block(
                    "table",
                    tuple(tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines),
                )
            case "heading":
                yield from (Block("heading", ((line.removeprefix("# "),),)) for line in lines)
            case "item":
                yield from (Block("item", ((line.removeprefix("- "),),)) for line in lines)
            case "paragraph":
                yield Block("paragraph", ((" ".join(lines),),))

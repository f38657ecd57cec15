"""The demonstration set as files, and any number of distinct documents made from it.

    python -m cluster.demo.generate FOLDER               the set itself, byte for byte the same each time
    python -m cluster.demo.generate FOLDER --count 2000  distinct ones with patients and dates of their own

Documents about a patient lie in a folder named by the record number, as
`python -m cluster.ingest --patient-from folder` expects it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from cluster.demo import render
from cluster.demo.letters import Letter, all_letters
from cluster.demo.people import SYSTEM, Clinician, invent

FIRST_INVENTED = 100_000
"""Record numbers of `corpus` start here, far from those of the set."""


@dataclass(frozen=True, slots=True)
class DemoDocument:
    """A rendered document with the metadata of its upload."""

    filename: str
    content: bytes
    title: str
    document_type: str
    document_date: date
    patient: str | None
    department: str
    owner: Clinician

    @property
    def folder(self) -> str:
        """The record number without its system; empty without a patient."""
        return (self.patient or "").removeprefix(f"{SYSTEM}|")


def demo_documents() -> Iterator[DemoDocument]:
    """The demonstration set: the same bytes each time."""
    for letter in all_letters():
        yield _document(letter, letter.name)


def corpus(count: int, *, seed: int = 1) -> Iterator[DemoDocument]:
    """`count` distinct documents made from the set's letters, each with a patient and dates of its own.

    Every second one is a PDF, the others are plain text. Equal arguments give equal bytes, and a larger
    `count` begins with the same documents.
    """
    dice = random.Random(seed)  # noqa: S311 - invented people need no secrecy
    letters = [(letter, letter.patient) for letter in all_letters() if letter.patient is not None]
    for number in range(count):
        letter, patient = letters[(number // 2) % len(letters)]
        own = replace(
            letter,
            format="pdf" if number % 2 else "text",
            patient=invent(FIRST_INVENTED + number, like=patient, dice=dice),
            date=letter.date - timedelta(days=dice.randint(0, 3650)),
        )
        yield _document(own, f"{letter.name}-{number:06d}")


def write(documents: Iterator[DemoDocument], folder: Path) -> int:
    """Write the documents below `folder`; returns how many."""
    written = 0
    for document in documents:
        target = folder / document.folder / document.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(document.content)
        written += 1
    return written


def _document(letter: Letter, name: str) -> DemoDocument:
    is_pdf = letter.format == "pdf"
    return DemoDocument(
        filename=f"{name}.{'pdf' if is_pdf else 'txt'}",
        content=render.pdf(letter) if is_pdf else render.text(letter),
        title=letter.title,
        document_type=letter.type.value,
        document_date=letter.date,
        patient=letter.patient.record if letter.patient else None,
        department=letter.department or letter.author.department,
        owner=letter.author,
    )


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made when missing.")],
    count: Annotated[
        int | None, typer.Option(help="Distinct documents to make, instead of the set itself.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other people and dates.")] = 1,
) -> None:
    """Write synthetic documents."""
    written = write(demo_documents() if count is None else corpus(count, seed=seed), folder)
    typer.echo(f"{written} documents written to {folder}")


if __name__ == "__main__":
    typer.run(main)

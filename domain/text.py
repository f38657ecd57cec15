"""What extraction, analysis and recognition say about a document's text.

Offsets are Unicode code points, half-open, in the page's stored text. Pages count from 1. A passage stays
within a page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of code points in a page's text."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"not a span: {self.start}..{self.end}")


@dataclass(frozen=True, slots=True)
class Page:
    """The stored text of one page; an unreadable page has empty text."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Extraction:
    """What the parser made of a file."""

    media_type: str
    pages: tuple[Page, ...]
    unreadable_pages: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    """Stable codes: `no_text`, `page_unreadable`, `fallback_parser`, ..."""
    parser: str = ""
    """Name and version of the parser that was used."""

    def __post_init__(self) -> None:
        if any(page.number != number for number, page in enumerate(self.pages, 1)):
            raise ValueError("pages count from 1 without a gap")


@dataclass(frozen=True, slots=True)
class Term:
    """One token of the clinical analysis: as written (folded), stemmed, and where."""

    word: str
    stem: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under a heading; `name` is from the fixed vocabulary of `models.sections`."""

    name: str
    page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Passage:
    """The searchable chunk: `text` is the page's text[start:end]; `ordinal` counts from 0 in the document."""

    ordinal: int
    page: int
    start: int
    end: int
    section: str | None
    text: str


class MentionType(StrEnum):
    PROBLEM = "problem"
    SIGN = "sign"
    DRUG = "drug"
    PROCEDURE = "procedure"
    TEST = "test"
    ANATOMY = "anatomy"


class Polarity(StrEnum):
    AFFIRMED = "affirmed"
    NEGATED = "negated"


class Certainty(StrEnum):
    CERTAIN = "certain"
    UNCERTAIN = "uncertain"


class Temporality(StrEnum):
    CURRENT = "current"
    HISTORICAL = "historical"
    HYPOTHETICAL = "hypothetical"


class Experiencer(StrEnum):
    PATIENT = "patient"
    FAMILY = "family"


class AssertionLabel(StrEnum):
    """The one-word summary of the four axes."""

    AFFIRMED = "affirmed"
    NEGATED = "negated"
    UNCERTAIN = "uncertain"
    HISTORICAL = "historical"
    FAMILY = "family"
    HYPOTHETICAL = "hypothetical"


@dataclass(frozen=True, slots=True)
class Cue:
    """The words that decided an assertion, as evidence."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """The four axes of ConText (Harkema et al. 2009) plus certainty, with the deciding cue."""

    polarity: Polarity = Polarity.AFFIRMED
    certainty: Certainty = Certainty.CERTAIN
    temporality: Temporality = Temporality.CURRENT
    experiencer: Experiencer = Experiencer.PATIENT
    cue: Cue | None = None

    @property
    def label(self) -> AssertionLabel:
        """Precedence: family > hypothetical > historical > negated > uncertain > affirmed."""
        if self.experiencer is Experiencer.FAMILY:
            return AssertionLabel.FAMILY
        if self.temporality is Temporality.HYPOTHETICAL:
            return AssertionLabel.HYPOTHETICAL
        if self.temporality is Temporality.HISTORICAL:
            return AssertionLabel.HISTORICAL
        if self.polarity is Polarity.NEGATED:
            return AssertionLabel.NEGATED
        if self.certainty is Certainty.UNCERTAIN:
            return AssertionLabel.UNCERTAIN
        return AssertionLabel.AFFIRMED


@dataclass(frozen=True, slots=True)
class Concept:
    """A coded meaning, `SYSTEM:code` (ICD10CM:J18.9, HP:0001250, MESH:D011014, DRUGBANK:DB00316)."""

    code: str
    label: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity in a page's text: text[start:end] == `text`.

    `concepts` are ranked; the first available of ICD10CM, HP, MESH, DRUGBANK leads and is *the* concept.
    """

    page: int
    start: int
    end: int
    text: str
    type: MentionType
    concepts: tuple[Concept, ...] = ()
    assertion: Assertion = Assertion()
    section: str | None = None

    @property
    def concept(self) -> Concept | None:
        return self.concepts[0] if self.concepts else None


OnPage = TypeVar("OnPage", Section, Passage, Mention)


def by_page(items: Iterable[OnPage]) -> dict[int, list[OnPage]]:
    """The items of each page that has any, in their order."""
    pages: dict[int, list[OnPage]] = {}
    for item in items:
        pages.setdefault(item.page, []).append(item)
    return pages


@dataclass(frozen=True, slots=True)
class Annotation:
    """Result of the annotate stage."""

    sections: tuple[Section, ...]
    passages: tuple[Passage, ...]
    mentions: tuple[Mention, ...]
    models: tuple[str, ...]
    """`name@version` of every model that had a part in it."""

"""The search port's vocabulary: what is written to an index, what is asked of it, what it answers.

A hit is a document: one *root* record a document (terms, concepts, filter fields, access list) and *passage*
records (terms, concepts, page and offsets, vector). Totals, facets and deep paging run on roots; passages rank
and highlight. All terms come from `models.analysis`, so that every backend sees the same tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from domain.errors import Invalid
from domain.text import AssertionLabel, Mention

GENERATION_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""Generations name folders, tables and indices."""

Vector = npt.NDArray[np.float32]
"""One embedding: shape (dimension,), L2-normalised."""


@dataclass(frozen=True, slots=True)
class Root:
    """One document in the index. `access` is `domain.access.effective_principals`, sorted."""

    document_id: UUID
    version: int
    revision: int
    access: tuple[str, ...]
    title: str
    document_type: str
    department: str | None
    patient: str | None
    date: date | None
    stems: str
    """All stems of title and text in order, separated by blanks (a whitespace field with positions)."""
    sections: tuple[str, ...]
    concepts: tuple[str, ...]
    """`CODE#assertion` and, within a section, `SECTION#CODE#assertion`, for every code of every mention."""
    section_stems: tuple[str, ...]
    """`SECTION#stem`, in the order of the text with repetitions: phrases within a section are found by position."""
    facet_concepts: tuple[str, ...]
    """`CODE#assertion` of leading concepts only: what the concept facet counts."""
    concept_labels: dict[str, str] = field(default_factory=dict)
    """CODE -> label, of the leading concepts."""
    title_stems: int = 0
    """How many of the first stems are the title's."""


@dataclass(frozen=True, slots=True)
class PassageRecord:
    """One passage in the index; its id is `{document}:{version}:{ordinal}`."""

    ordinal: int
    page: int
    section: str | None
    start: int
    end: int
    text: str
    stems: str
    concepts: tuple[str, ...]
    """As in `Root.concepts`, of this passage's mentions."""
    mentions: tuple[Mention, ...]
    vector: Vector


@dataclass(frozen=True, slots=True)
class PutDocument:
    """Replace whatever the index holds of this document, unless that has a higher revision."""

    root: Root
    passages: tuple[PassageRecord, ...]


@dataclass(frozen=True, slots=True)
class UpdateDocument:
    """Change access list or metadata of an indexed document, unless it has a higher revision.

    A document that is not in the index stays so: its put brings the metadata of its own time. One that is there in
    an older version than `version`, the document's present one, is left to nobody until its put comes.
    """

    document_id: UUID
    version: int
    revision: int
    access: tuple[str, ...]
    title: str
    document_type: str
    department: str | None
    patient: str | None
    date: date | None
    title_stems: str | None = None
    """The stems of `title`; None: the words of the former title stay searchable."""


@dataclass(frozen=True, slots=True)
class DeleteDocument:
    """Remove every record of the document, unless it has a higher revision."""

    document_id: UUID
    revision: int


IndexOperation = PutDocument | UpdateDocument | DeleteDocument


class GenerationState(StrEnum):
    BUILDING = "building"
    LIVE = "live"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Generation:
    """One physical index with the models that made it. Queries are encoded by the same encoder."""

    name: str
    encoder: str
    """`name@version` of the embedding model."""
    dimension: int
    analysis: str
    """Version of `models.analysis`: a change needs a new generation."""
    state: GenerationState = GenerationState.BUILDING
    source: str = field(default="", compare=False)
    """Where the encoder was found: a shipped name, a folder, a hub id."""
    created_at: datetime | None = field(default=None, compare=False)
    """As the index knows it."""

    def __post_init__(self) -> None:
        if not GENERATION_NAME.fullmatch(self.name):
            raise Invalid(
                "A generation's name is 1 to 40 of a-z, 0-9, - and _, a letter first.",
                code="search.generation_name",
            )


@dataclass(frozen=True, slots=True)
class AccessFilter:
    """The caller's principals, as every index request must carry them. An empty set matches nothing."""

    principals: frozenset[str]


@dataclass(frozen=True, slots=True)
class EntityFilter:
    """A mention of `concept`, or of one of its `equivalents`, with one of `assertions` (empty: any).

    And no mention of them with one of `without`.
    """

    concept: str
    assertions: tuple[AssertionLabel, ...] = ()
    equivalents: tuple[str, ...] = ()
    without: tuple[AssertionLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on documents; all must hold, within a list one is enough."""

    document_type: tuple[str, ...] = ()
    department: tuple[str, ...] = ()
    patient: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    section: tuple[str, ...] = ()
    entities: tuple[EntityFilter, ...] = ()
    """Each of these must hold."""
    any_entity: tuple[EntityFilter, ...] = ()
    """One of these must hold, when there are any."""


class Occur(StrEnum):
    MUST = "must"
    SHOULD = "should"
    MUST_NOT = "must_not"


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a parsed query: a term (one stem), a phrase (several in a row), with alternatives.

    `alternatives` are stem sequences that count as the clause itself (synonyms, concept names).
    """

    stems: tuple[str, ...]
    occur: Occur = Occur.SHOULD
    alternatives: tuple[tuple[str, ...], ...] = ()
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """What the words leg asks. No clause, or only excluded ones: every other document that the filters select."""

    clauses: tuple[Clause, ...]
    filters: Filters = Filters()
    minimum: int = 1
    """How many of the SHOULD clauses a document must match at least (when there are any)."""
    within: frozenset[UUID] | None = None
    """Only these documents; None: any."""


class SortKey(StrEnum):
    RELEVANCE = "relevance"
    NEWEST = "newest"
    OLDEST = "oldest"
    TITLE = "title"


@dataclass(frozen=True, slots=True)
class RootHit:
    """A document as a leg ranks it. `after` continues a deep page behind this hit."""

    document_id: UUID
    version: int
    revision: int
    score: float
    after: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class LexicalResult:
    """One page of the words leg; `total` is exact."""

    hits: tuple[RootHit, ...]
    total: int


@dataclass(frozen=True, slots=True)
class SemanticHit:
    """A document's nearest passage; `similarity` is the cosine in [-1, 1]."""

    document_id: UUID
    version: int
    revision: int
    similarity: float
    ordinal: int


@dataclass(frozen=True, slots=True)
class StoredRoot:
    """What a result list shows of a document."""

    document_id: UUID
    version: int
    revision: int
    title: str
    document_type: str
    patient: str | None
    date: date | None


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage with its mentions, as the index gives it back; `score` is the words score of this passage."""

    document_id: UUID
    version: int
    ordinal: int
    page: int
    section: str | None
    start: int
    end: int
    text: str
    mentions: tuple[Mention, ...]
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class FacetCount:
    """Number of documents with `value`; for the concept facet the value is `CODE#assertion`."""

    value: str
    count: int
    label: str | None = None

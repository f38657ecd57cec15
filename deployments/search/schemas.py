"""What a search asks and what it answers, on the wire (`docs/search.md`)."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from deployments.edge.schemas import Line, StrictModel
from domain.documents import DocumentType
from domain.search import SortKey
from domain.text import AssertionLabel
from models.sections import NAMES as SECTIONS

LONGEST_QUERY = 10_000
"""Whatever `search.query_characters` says."""


class Mode(StrEnum):
    """By words, by meaning, or both made one ranking."""

    LEXICAL = "lexical"
    SEMANTIC = "semantic"
    HYBRID = "hybrid"


class FacetName(StrEnum):
    CONCEPT = "concept"
    DOCUMENT_TYPE = "document_type"
    DEPARTMENT = "department"
    YEAR = "year"
    SECTION = "section"


def _known_section(name: str) -> str:
    if name not in SECTIONS:
        raise ValueError("must be one of: " + ", ".join(SECTIONS))
    return name


SectionName = Annotated[str, Field(max_length=40), AfterValidator(_known_section)]
ConceptCode = Annotated[
    str,
    Field(
        max_length=29, pattern=r"^(ICD10CM|HP|MESH|DRUGBANK):[A-Za-z0-9.]{1,20}$", examples=["ICD10CM:J18.9"]
    ),
]


class DateRange(StrictModel):
    """Days of the documents' own dates, both ends included."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

    start: dt.date | None = Field(default=None, alias="from")
    end: dt.date | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _forward(self) -> DateRange:
        if self.start and self.end and self.start > self.end:
            raise ValueError("'from' must not be after 'to'")
        return self


class EntityCondition(StrictModel):
    """A mention of the concept with one of the assertions (none named: any)."""

    concept: ConceptCode
    assertion: list[AssertionLabel] = Field(default=[], max_length=6)


class FilterSet(StrictModel):
    """All conditions must hold; within a list one is enough."""

    document_type: list[DocumentType] = Field(default=[], max_length=20)
    department: list[Annotated[Line, Field(min_length=1, max_length=100)]] = Field(default=[], max_length=50)
    patient: Annotated[Line, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="SYSTEM|VALUE"
    )
    date: DateRange = DateRange()
    section: list[SectionName] = Field(default=[], max_length=len(SECTIONS))
    entities: list[EntityCondition] = Field(default=[], max_length=16)


class SearchRequest(StrictModel):
    """A search. Without words: the documents that the filters select, newest first."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "examples": [
                {
                    "query": "pneumonia",
                    "mode": "hybrid",
                    "filters": {"entities": [{"concept": "ICD10CM:J18.9", "assertion": ["affirmed"]}]},
                    "facets": ["concept", "document_type", "year"],
                    "limit": 10,
                }
            ]
        },
    )

    query: str = Field(
        "",
        max_length=LONGEST_QUERY,
        description='Words, "phrases", +required, -excluded, OR; nothing is a syntax error.',
    )
    mode: Mode = Mode.HYBRID
    filters: FilterSet = FilterSet()
    facets: list[FacetName] = Field(default=[], max_length=len(FacetName))
    sort: SortKey = Field(
        SortKey.RELEVANCE, description="Other than relevance: matches of the words, sorted."
    )
    limit: int = Field(default=10, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=4096, description="`next_cursor` of the page before.")
    explain: bool = False


class SearchParameters(StrictModel):
    """The simple case, as query parameters."""

    q: str = Field(default="", max_length=LONGEST_QUERY, description="As `query` of POST /api/v1/search.")
    mode: Mode = Mode.HYBRID
    sort: SortKey = SortKey.RELEVANCE
    limit: int = Field(default=10, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=4096)

    def request(self) -> SearchRequest:
        return SearchRequest(
            query=self.q, mode=self.mode, sort=self.sort, limit=self.limit, cursor=self.cursor
        )


class Total(StrictModel):
    """How many documents match."""

    value: int
    relation: Literal["eq"] = "eq"


class Stretch(StrictModel):
    """Half-open range of code points in the page's stored text."""

    start: int
    end: int


class CueText(Stretch):
    """The words that decided an assertion."""

    text: str


class MentionFound(Stretch):
    """An entity within the passage."""

    text: str
    type: str
    concept: str | None
    codes: list[str]
    label: str | None
    assertion: AssertionLabel
    cue: CueText | None


class PassageFound(Stretch):
    """A passage of a page; highlights and mentions count from the page's start, as `start` and `end` do."""

    page: int
    section: str | None
    text: str
    highlights: list[Stretch]
    mentions: list[MentionFound]


class LegPlace(StrictModel):
    """Where one leg put the document: its rank from 1, its score scaled to [0, 1]."""

    rank: int
    score: float


class FusionUsed(StrictModel):
    """How the legs were made one: weights of words and meaning."""

    method: Literal["minmax", "rrf"]
    weights: tuple[float, float]


class Explanation(StrictModel):
    """Why the document stands where it stands; never corpus statistics."""

    lexical: LegPlace | None
    semantic: LegPlace | None
    fusion: FusionUsed | None = Field(description="null where one leg alone decides")
    terms: list[str] = Field(description="Words of the query that are in the title or the shown passages.")
    concepts: list[str] = Field(description="Concepts that the query names and the shown passages mention.")
    assertion: float = Field(
        description="Factor for how the document speaks of those concepts; 1 has no effect."
    )


class Hit(StrictModel):
    """A document with up to three passages."""

    document_id: UUID
    version: int
    title: str
    document_type: str
    document_date: dt.date | None
    patient: str | None
    score: float | None = Field(description="In [0, 1]; null when results are not ranked.")
    passages: list[PassageFound]
    explanation: Explanation | None = None


class FacetValue(StrictModel):
    """So many documents have the value."""

    value: str
    label: str | None = None
    assertion: AssertionLabel | None = Field(default=None, description="Of concepts only.")
    count: int


class FacetScope(StrEnum):
    """What facets and total were counted over."""

    MATCHES = "matches"
    MATCHES_AND_SEMANTIC_WINDOW = "matches_and_semantic_window"
    SEMANTIC_WINDOW = "semantic_window"


class SearchAnswer(StrictModel):
    """One page of results."""

    total: Total
    hits: list[Hit]
    facets: dict[FacetName, list[FacetValue]]
    facets_scope: FacetScope
    mode: Mode
    legs: list[Literal["lexical", "semantic"]] = Field(description="What took part in this answer.")
    degraded: list[Literal["semantic"]] = Field(description="What should have taken part but was away.")
    next_cursor: str | None
    took_ms: int
    search_id: UUID

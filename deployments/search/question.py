"""A request understood: words, filters, the caller's access, and what its cursors are bound to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

from config.settings import SearchSettings
from deployments.search.schemas import FilterSet, Mode, SearchRequest
from domain.errors import FieldError, Invalid
from domain.search import AccessFilter, EntityFilter, Filters, Generation, LexicalQuery, SortKey
from models.query import ConceptNames, ParsedQuery, parse


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that one page of a search needs; the same for every page of it."""

    parsed: ParsedQuery
    filters: Filters
    access: AccessFilter
    account: str
    mode: Mode
    sort: SortKey
    query: LexicalQuery
    generation: Generation
    """The one that answers, from the first word to the last passage, whatever is promoted meanwhile."""
    bound_to: str
    """The account and a digest of words, mode, filters and order: what a cursor is good for."""

    @property
    def windowed(self) -> bool:
        """Ranked with a semantic leg, so in a frozen window; all else pages without limit."""
        return self.mode is not Mode.LEXICAL and self.sort is SortKey.RELEVANCE and bool(self.parsed.meaning)

    @property
    def in_full(self) -> bool:
        """So many words that a document need not have all of them: a question rather than a name."""
        return self.query.minimum > 1


def understand(
    request: SearchRequest,
    access: AccessFilter,
    account: str,
    names: ConceptNames,
    limits: SearchSettings,
    generation: Generation,
) -> Question:
    """Raises `Invalid`: `search.query_too_long`, `search.too_many_clauses`, `search.sort_not_possible`."""
    if len(request.query) > limits.query_characters:
        raise _too_long(limits.query_characters)
    if request.mode is Mode.SEMANTIC and request.sort is not SortKey.RELEVANCE:
        raise _no_order()
    parsed = parse(request.query, max_clauses=limits.query_clauses, names=names)
    filters = _filters(request.filters)
    return Question(
        parsed=parsed,
        filters=filters,
        access=access,
        account=account,
        mode=request.mode,
        sort=_order(request.sort, parsed),
        query=_query(request.query, parsed, filters),
        generation=generation,
        bound_to=f"search:{account}:{_digest(request)}",
    )


def _query(text: str, parsed: ParsedQuery, filters: Filters) -> LexicalQuery:
    """What the words leg asks. A text without a single word in it finds nothing, rather than everything."""
    nothing: frozenset[UUID] | None = frozenset() if text and not parsed.clauses else None
    return LexicalQuery(parsed.clauses, filters, parsed.minimum, nothing)


def _order(sort: SortKey, parsed: ParsedQuery) -> SortKey:
    return SortKey.NEWEST if sort is SortKey.RELEVANCE and not parsed.wanted else sort


def _filters(given: FilterSet) -> Filters:
    return Filters(
        document_type=tuple(dict.fromkeys(kind.value for kind in given.document_type)),
        department=tuple(dict.fromkeys(given.department)),
        patient=given.patient,
        date_from=given.date.start,
        date_to=given.date.end,
        section=tuple(dict.fromkeys(given.section)),
        entities=tuple(
            EntityFilter(one.concept, tuple(dict.fromkeys(one.assertion))) for one in given.entities
        ),
    )


def _digest(request: SearchRequest) -> str:
    asked = request.model_dump(mode="json", include={"query", "mode", "filters", "sort"})
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _too_long(limit: int) -> Invalid:
    return Invalid(
        f"The query is too long: at most {limit} characters are allowed.",
        code="search.query_too_long",
        errors=(FieldError("query", "too_long", f"at most {limit} characters"),),
    )


def _no_order() -> Invalid:
    return Invalid(
        "Results by meaning can only be ordered by relevance. Choose mode lexical or hybrid to sort.",
        code="search.sort_not_possible",
        errors=(FieldError("sort", "not_possible", "only relevance with mode semantic"),),
    )

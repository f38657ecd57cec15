"""What is asked of an index, engine-neutral: a question of the port becomes one tree that each backend compiles.

Roots and passages carry the same filter fields, so that both backends and both legs decide by the same rules.
Word fields are scored by BM25; everything else selects without a score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from domain.search import AccessFilter, Clause, EntityFilter, Filters, LexicalQuery, Occur, StoredPassage
from domain.text import AssertionLabel

Stems = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """One stem, or several in a row, in a field with positions."""

    field: str
    stems: Stems


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has at least one of the values; no values: nothing."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Days:
    """The field `day` lies between both ordinals, which belong to the range; None is open."""

    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Documents:
    """Only these documents."""

    ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Best:
    """Any of the parts; the best one gives the score, times `boost`."""

    parts: tuple[Words | Match, ...]
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class Match:
    """All of `must` and `filters`, `minimum` of `should`, none of `must_not`; `filters` do not score."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()
    filters: tuple[Condition, ...] = ()
    minimum: int = 1

    @property
    def scored(self) -> bool:
        return bool(self.must or self.should)


Condition = Words | OneOf | Days | Documents | Best | Match


def visible(access: AccessFilter) -> OneOf:
    """The condition that every request carries; raises `TypeError` without an `AccessFilter`."""
    if not isinstance(access, AccessFilter):
        raise TypeError("a question to the index needs an AccessFilter")
    return OneOf("access", tuple(sorted(access.principals)))


def documents(query: LexicalQuery, access: AccessFilter, also: Sequence[UUID] = ()) -> Match:
    """The roots that the query selects, and those of `also`; only what the caller may see."""
    own = Match(
        must=tuple(_clause(clause, query) for clause in query.clauses if clause.occur is Occur.MUST),
        should=tuple(_clause(clause, query) for clause in query.clauses if clause.occur is Occur.SHOULD),
        must_not=tuple(_clause(clause, query) for clause in query.clauses if clause.occur is Occur.MUST_NOT),
        filters=(
            *selected(query.filters),
            *(() if query.within is None else [Documents(tuple(query.within))]),
            *(() if also else [visible(access)]),
        ),
        minimum=query.minimum,
    )
    if not also:
        return own
    return Match(filters=(visible(access), Match(should=(own, Documents(tuple(also))))))


def selected(filters: Filters) -> list[Condition]:
    """The conditions that `filters` set on a document."""
    terms = [
        OneOf(field, values)
        for field, values in (
            ("document_type", filters.document_type),
            ("department", filters.department),
            ("patient", (filters.patient,) if filters.patient is not None else ()),
            ("sections", filters.section),
        )
        if values
    ]
    found: list[Condition] = [*terms, *(_mentions(entity, filters.section) for entity in filters.entities)]
    if filters.any_entity:
        found.append(Match(should=tuple(_mentions(one, filters.section) for one in filters.any_entity)))
    if filters.date_from or filters.date_to:
        first, last = filters.date_from, filters.date_to
        found.append(Days(first.toordinal() if first else None, last.toordinal() if last else None))
    return found


def mentioned(entity: EntityFilter, sections: Sequence[str] = ()) -> tuple[str, ...]:
    """The concept terms of which a record needs one, within one of the sections when there are any."""
    labels = entity.assertions or tuple(AssertionLabel)
    terms = [f"{code}#{label}" for code in (entity.concept, *entity.equivalents) for label in labels]
    return tuple(f"{section}#{term}" for section in sections for term in terms) if sections else tuple(terms)


def _mentions(entity: EntityFilter, sections: Sequence[str]) -> Condition:
    wanted = OneOf("concepts", mentioned(entity, sections))
    if not entity.without:
        return wanted
    unwanted = replace(entity, assertions=entity.without)
    return Match(filters=(wanted,), must_not=(OneOf("concepts", mentioned(unwanted, sections)),))


def passage_words(query: LexicalQuery) -> tuple[Condition, ...]:
    """What makes a passage a good one: every wanted clause counts, none is needed."""
    wanted = [clause for clause in query.clauses if clause.occur is not Occur.MUST_NOT]
    return tuple(_best(clause, lambda stems: Words("passage_stems", stems)) for clause in wanted)


def passage_filters(filters: Filters) -> list[Condition]:
    """What a passage that is shown first satisfies: a listed section, and one of the filtered mentions."""
    found: list[Condition] = [OneOf("section", filters.section)] if filters.section else []
    if filters.entities:
        found.append(
            OneOf("own_concepts", tuple(term for entity in filters.entities for term in mentioned(entity)))
        )
    return found


def satisfies(passage: StoredPassage, filters: Filters) -> bool:
    """`passage_filters`, decided on a passage that was read."""
    if filters.section and passage.section not in filters.section:
        return False
    wanted = {term for entity in filters.entities for term in mentioned(entity)}
    return not wanted or any(
        f"{concept.code}#{mention.assertion.label}" in wanted
        for mention in passage.mentions
        for concept in mention.concepts
    )


def _clause(clause: Clause, query: LexicalQuery) -> Condition:
    sections = query.filters.section
    return _best(clause, lambda stems: _in_sections(stems, sections) if sections else Words("stems", stems))


def _in_sections(stems: Stems, sections: Iterable[str]) -> Match:
    return Match(
        should=tuple(
            Words("section_stems", tuple(f"{section}#{stem}" for stem in stems)) for section in sections
        )
    )


def _best(clause: Clause, words: Callable[[Stems], Words | Match]) -> Best:
    return Best(tuple(words(stems) for stems in (clause.stems, *clause.alternatives) if stems), clause.boost)

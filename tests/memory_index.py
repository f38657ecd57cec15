"""The search port in memory: a fake for service tests that passes the port's conformance suite.

Everything is a scan over the roots; scores are plain BM25 over stems, hidden documents included.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from domain.errors import Conflict, Invalid
from domain.search import (
    AccessFilter,
    Clause,
    EntityFilter,
    FacetCount,
    Filters,
    Generation,
    GenerationState,
    IndexOperation,
    LexicalQuery,
    LexicalResult,
    Occur,
    PassageRecord,
    Root,
    RootHit,
    SemanticHit,
    SortKey,
    StoredPassage,
    StoredRoot,
    Vector,
)
from models.query import contains
from stores.ports import WriteReport
from stores.search.batch import Indexed, settle
from stores.search.conditions import mentioned, satisfies
from stores.search.errors import missing, not_ready
from stores.search.records import order_keys

K1, B = 1.2, 0.75
CAP = 10_000
FACETS = {"concept", "document_type", "department", "year", "section"}


@dataclass
class Content:
    """One generation's documents."""

    facts: Generation
    known: dict[UUID, Indexed] = field(default_factory=dict)
    passages: dict[UUID, tuple[PassageRecord, ...]] = field(default_factory=dict)

    @property
    def roots(self) -> list[Root]:
        return [indexed.root for indexed in self.known.values() if indexed.root]


class MemoryIndex:
    """Implements `stores.ports.SearchIndex`."""

    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}

    async def create(self, generation: Generation) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", generation.name):
            raise Invalid("not a generation's name")
        known = self._contents.get(generation.name)
        if known is None:
            self._contents[generation.name] = Content(replace(generation, state=GenerationState.BUILDING))
        elif replace(known.facts, state=generation.state) != generation:
            raise Conflict("another generation has this name")

    async def generations(self) -> list[Generation]:
        return [content.facts for content in self._contents.values()]

    async def live(self) -> Generation:
        for content in self._contents.values():
            if content.facts.state is GenerationState.LIVE:
                return content.facts
        raise not_ready()

    async def promote(self, name: str) -> None:
        for content in self._contents.values():
            if content.facts.state is GenerationState.LIVE:
                content.facts = replace(content.facts, state=GenerationState.RETIRED)
        chosen = self._content(name)
        chosen.facts = replace(chosen.facts, state=GenerationState.LIVE)

    async def drop(self, name: str) -> None:
        if self._content(name).facts.state is GenerationState.LIVE:
            raise Conflict("the live generation cannot be dropped")
        del self._contents[name]

    async def write(self, generation: str, operations: Sequence[IndexOperation]) -> WriteReport:
        await asyncio.sleep(0)  # others get their turn, as with a real engine
        content = self._content(generation)
        batch = settle(operations, content.known)
        for change in batch.changes:
            content.known[change.document_id] = change.after
            if change.passages is not None:
                content.passages[change.document_id] = change.passages
        return WriteReport(len(operations) - len(batch.stale), batch.stale)

    async def lexical(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        *,
        limit: int,
        sort: SortKey = SortKey.RELEVANCE,
        after: tuple[Any, ...] | None = None,
        generation: str | None = None,
    ) -> LexicalResult:
        await asyncio.sleep(0)
        content = self._content(generation)
        found = []
        scored = _bm25(content.roots, query)
        for root in _matching(content, query, access):
            score = scored(root)
            place = (-score, root.document_id.hex) if sort is SortKey.RELEVANCE else (order_keys(root)[sort],)
            found.append(RootHit(root.document_id, root.version, root.revision, score, place))
        found.sort(key=lambda hit: hit.after)
        behind = [hit for hit in found if after is None or hit.after > tuple(after)]
        return LexicalResult(tuple(behind[:limit]), len(found))

    async def semantic(
        self,
        vector: Vector,
        access: AccessFilter,
        *,
        filters: Filters,
        limit: int,
        generation: str | None = None,
    ) -> list[SemanticHit]:
        content = self._content(generation)
        if len(vector) != content.facts.dimension:
            raise Invalid("the vector has another size")
        hits = []
        for root in _matching(content, LexicalQuery((), filters), access):
            near = [(float(one.vector @ vector), -one.ordinal) for one in content.passages[root.document_id]]
            if near:
                similarity, ordinal = max(near)
                hits.append(SemanticHit(root.document_id, root.version, root.revision, similarity, -ordinal))
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.document_id.hex))[:limit]

    async def facets(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        *,
        facets: Sequence[str],
        also: Sequence[UUID] = (),
        size: int = 20,
        generation: str | None = None,
    ) -> dict[str, list[FacetCount]]:
        content = self._content(generation)
        if set(facets) - FACETS:
            raise Invalid("no such facet")
        added = _matching(content, LexicalQuery((), within=frozenset(also)), access) if also else []
        roots = {root.document_id: root for root in [*_matching(content, query, access), *added]}.values()
        labels = {code: label for root in roots for code, label in root.concept_labels.items()}
        counted = {name: Counter(value for root in roots for value in _values(root, name)) for name in facets}
        return {
            name: [
                FacetCount(value, count, labels.get(value.partition("#")[0]) if name == "concept" else None)
                for value, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]
            ]
            for name, counts in counted.items()
        }

    async def roots(
        self, documents: Sequence[UUID], access: AccessFilter, *, generation: str | None = None
    ) -> list[StoredRoot]:
        query = LexicalQuery((), within=frozenset(documents))
        found = {root.document_id: root for root in _matching(self._content(generation), query, access)}
        return [
            StoredRoot(r.document_id, r.version, r.revision, r.title, r.document_type, r.patient, r.date)
            for r in (found[one] for one in documents if one in found)
        ]

    async def passages(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        *,
        documents: Sequence[UUID],
        ordinals: Mapping[UUID, Sequence[int]],
        per_document: int = 3,
        generation: str | None = None,
    ) -> dict[UUID, list[StoredPassage]]:
        content = self._content(generation)
        found: dict[UUID, list[StoredPassage]] = {}
        for root in _matching(content, LexicalQuery((), within=frozenset(documents)), access):
            stored = [_stored(root, one, query) for one in content.passages[root.document_id]]
            named = ordinals.get(root.document_id, ())
            stored.sort(key=lambda one: (not satisfies(one, query.filters), -one.score, one.ordinal))
            best = [one for one in stored if one.score > 0 or satisfies(one, query.filters)][:per_document]
            found[root.document_id] = best + [
                one for one in stored if one.ordinal in named and one not in best
            ]
        return found

    async def visible_passages(self, access: AccessFilter, *, generation: str | None = None) -> int:
        content = self._content(generation)
        roots = _matching(content, LexicalQuery(()), access)
        return min(CAP, sum(len(content.passages[root.document_id]) for root in roots))

    async def close(self) -> None:
        self._contents.clear()

    def _content(self, name: str | None) -> Content:
        for content in self._contents.values():
            if content.facts.name == name or (name is None and content.facts.state is GenerationState.LIVE):
                return content
        raise missing(name)


def _matching(content: Content, query: LexicalQuery, access: AccessFilter) -> list[Root]:
    if not isinstance(access, AccessFilter):
        raise TypeError("a question to the index needs an AccessFilter")
    return [
        root
        for root in content.roots
        if access.principals & set(root.access) and _selected(root, query.filters) and _says(root, query)
    ]


def _selected(root: Root, filters: Filters) -> bool:
    day = root.date
    return (
        (not filters.document_type or root.document_type in filters.document_type)
        and (not filters.department or root.department in filters.department)
        and (filters.patient is None or root.patient == filters.patient)
        and (filters.date_from is None or (day is not None and day >= filters.date_from))
        and (filters.date_to is None or (day is not None and day <= filters.date_to))
        and (not filters.section or bool(set(root.sections) & set(filters.section)))
        and all(_mentions(root, entity, filters.section) for entity in filters.entities)
        and (
            not filters.any_entity
            or any(_mentions(root, entity, filters.section) for entity in filters.any_entity)
        )
    )


def _mentions(root: Root, entity: EntityFilter, sections: Sequence[str]) -> bool:
    if entity.without and set(root.concepts) & set(
        mentioned(replace(entity, assertions=entity.without), sections)
    ):
        return False
    return bool(set(root.concepts) & set(mentioned(entity, sections)))


def _says(root: Root, query: LexicalQuery) -> bool:
    if query.within is not None and root.document_id not in query.within:
        return False
    met: dict[Occur, list[bool]] = {occur: [] for occur in Occur}
    for clause in query.clauses:
        met[clause.occur].append(_count(root, clause, query.filters.section) > 0)
    enough = not met[Occur.SHOULD] or sum(met[Occur.SHOULD]) >= query.minimum
    if met[Occur.MUST] and not query.minimum:
        enough = True
    return all(met[Occur.MUST]) and not any(met[Occur.MUST_NOT]) and enough


def _count(root: Root, clause: Clause, sections: Sequence[str]) -> int:
    if not sections:
        return _occurrences(root.stems.split(), clause)
    return sum(_occurrences(_in_section(root, section), clause) for section in sections)


def _in_section(root: Root, section: str) -> list[str]:
    return [stem.partition("#")[2] for stem in root.section_stems if stem.startswith(f"{section}#")]


def _occurrences(stems: Sequence[str], clause: Clause) -> int:
    return sum(
        contains(stems[position : position + len(sequence)], sequence)
        for sequence in (clause.stems, *clause.alternatives)
        for position in range(len(stems))
    )


def _bm25(roots: Sequence[Root], query: LexicalQuery) -> Callable[[Root], float]:
    """What scores one of the roots."""
    average = sum(len(one.stems.split()) for one in roots) / max(1, len(roots))
    clauses = [clause for clause in query.clauses if clause.occur is not Occur.MUST_NOT]
    weights = []
    for clause in clauses:
        containing = sum(_count(one, clause, query.filters.section) > 0 for one in roots)
        weights.append(clause.boost * math.log(1 + (len(roots) - containing + 0.5) / (containing + 0.5)))

    def score(root: Root) -> float:
        length = K1 * (1 - B + B * len(root.stems.split()) / average)
        counts = [_count(root, clause, query.filters.section) for clause in clauses]
        return sum(w * count * (K1 + 1) / (count + length) for w, count in zip(weights, counts, strict=True))

    return score


def _values(root: Root, facet: str) -> Iterable[str]:
    match facet:
        case "concept":
            return root.facet_concepts
        case "section":
            return root.sections
        case "year":
            return [str(root.date.year)] if root.date else []
        case _:
            value = getattr(root, facet)
            return [value] if value is not None else []


def _stored(root: Root, record: PassageRecord, query: LexicalQuery) -> StoredPassage:
    stems = record.stems.split()
    score = float(
        sum(_occurrences(stems, clause) for clause in query.clauses if clause.occur is not Occur.MUST_NOT)
    )
    return StoredPassage(
        root.document_id,
        root.version,
        record.ordinal,
        record.page,
        record.section,
        record.start,
        record.end,
        record.text,
        record.mentions,
        score,
    )

"""Search by meaning in the embedded index: the words index says what is visible, Postgres what is near."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tantivy import DocAddress

from domain.search import AccessFilter, Filters, SemanticHit, Vector
from stores.search.reading import Reading
from stores.search.shelf import Shelves
from stores.search.vectors import Near, VectorTable, exact_is_better

PASSAGES_A_DOCUMENT = 1.5
"""Nearest passages to ask for a document wanted, at first."""

MARGIN = 1.2
"""How much more of the graph to visit than a caller's share of the passages suggests."""

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """On one snapshot: compare exactly what is `within`, or (None) walk the graph for so many rows."""

    reading: Reading
    within: Mapping[int, DocAddress] | None
    rows: int


class SemanticSearch:
    """The nearest documents of one generation."""

    def __init__(self, shelves: Shelves, vectors: VectorTable, exact_below: int) -> None:
        self._shelves = shelves
        self._vectors = vectors
        self._exact_below = exact_below

    async def search(
        self, vector: Vector, access: AccessFilter, filters: Filters, limit: int
    ) -> list[SemanticHit]:
        """The `limit` nearest documents.

        Rows of a version are removed only after a commit of roots: when one came in between, the answer might lack a
        document that was never away, and the question is asked again.
        """
        for _ in range(ATTEMPTS):
            plan = await asyncio.to_thread(self._plan, access, filters, limit)
            hits = await self._follow(plan, vector, access, filters, limit)
            if self._shelves.roots.marker() == plan.reading.snapshot.marker:
                break
        return hits

    def _plan(self, access: AccessFilter, filters: Filters, limit: int) -> Plan:
        reading = Reading(self._shelves)
        visible, total = reading.passage_count(access, filters), reading.total_passages()
        wanted = int(limit * PASSAGES_A_DOCUMENT)
        if exact_is_better(visible=visible, total=total, wanted=wanted, exact_below=self._exact_below):
            return Plan(reading, reading.selection(access, filters) if visible else {}, 0)
        return Plan(reading, None, int(wanted * total / visible * MARGIN))

    async def _follow(
        self, plan: Plan, vector: Vector, access: AccessFilter, filters: Filters, limit: int
    ) -> list[SemanticHit]:
        reading, within = plan.reading, plan.within
        if within is None:
            near = await self._vectors.nearest(vector, plan.rows)
            slots = list({one.slot for one in near})
            hits = await asyncio.to_thread(
                lambda: _hits(reading, near, reading.among(slots, access, filters), limit)
            )
            if len(hits) == limit:
                return hits
            within = await asyncio.to_thread(reading.selection, access, filters)
        return await self._exactly(reading, within, vector, limit) if within else []

    async def _exactly(
        self, reading: Reading, within: Mapping[int, DocAddress], vector: Vector, limit: int
    ) -> list[SemanticHit]:
        wanted = int(limit * PASSAGES_A_DOCUMENT)
        most = 2 * len(within) > reading.snapshot.roots.num_docs
        while True:
            near = await self._vectors.within(vector, list(within), wanted, most=most)
            hits = await asyncio.to_thread(_hits, reading, near, within, limit)
            if len(hits) == limit or len(near) < wanted:
                return hits
            wanted *= 4


def _hits(
    reading: Reading, near: Iterable[Near], roots: Mapping[int, DocAddress], limit: int
) -> list[SemanticHit]:
    """The best passages of the first `limit` documents, best first."""
    best: dict[int, Near] = {}
    for one in near:
        if one.slot in roots:
            best.setdefault(one.slot, one)
            if len(best) == limit:
                break
    found = reading.snapshot.found([roots[slot] for slot in best])
    return [
        SemanticHit(root.document_id, root.version, root.revision, one.similarity, one.ordinal)
        for root, one in zip(found, best.values(), strict=True)
    ]

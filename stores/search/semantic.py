"""Search by meaning in the embedded index: the words index says what is visible, Postgres what is near."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from domain.search import AccessFilter, Filters, SemanticHit, Vector
from stores.search.reading import Reading
from stores.search.shelf import Found, Shelves
from stores.search.vectors import Near, VectorTable, exact_is_better

PASSAGES_A_DOCUMENT = 1.5
"""Nearest passages to ask for a document wanted, at first."""

MARGIN = 1.2
"""How much more of the graph to visit than a caller's share of the passages suggests."""

ATTEMPTS = 3


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
            reading = await asyncio.to_thread(Reading, self._shelves)
            hits = await self._on(reading, vector, access, filters, limit)
            if self._shelves.roots.marker() == reading.snapshot.marker:
                break
        return hits

    async def _on(
        self, reading: Reading, vector: Vector, access: AccessFilter, filters: Filters, limit: int
    ) -> list[SemanticHit]:
        visible = await asyncio.to_thread(reading.passage_count, access, filters)
        total = await asyncio.to_thread(reading.total_passages)
        wanted = int(limit * PASSAGES_A_DOCUMENT)
        if not exact_is_better(visible=visible, total=total, wanted=wanted, exact_below=self._exact_below):
            hits = await self._by_graph(reading, vector, access, filters, limit, total / visible)
            if len(hits) == limit:
                return hits
        return await self._exactly(reading, vector, access, filters, limit) if visible else []

    async def _exactly(
        self, reading: Reading, vector: Vector, access: AccessFilter, filters: Filters, limit: int
    ) -> list[SemanticHit]:
        roots = {root.slot: root for root in await asyncio.to_thread(reading.selection, access, filters)}
        wanted = int(limit * PASSAGES_A_DOCUMENT)
        while True:
            near = await self._vectors.within(vector, list(roots), wanted)
            hits = _hits(near, roots)
            if len(hits) >= limit or len(near) < wanted:
                return hits[:limit]
            wanted *= 4

    async def _by_graph(
        self,
        reading: Reading,
        vector: Vector,
        access: AccessFilter,
        filters: Filters,
        limit: int,
        visited_a_hit: float,
    ) -> list[SemanticHit]:
        """Fewer than `limit` when one walk did not find as many."""
        wanted = int(limit * PASSAGES_A_DOCUMENT * visited_a_hit * MARGIN)
        near = await self._vectors.nearest(vector, wanted)
        slots = list({one.slot for one in near})
        found = await asyncio.to_thread(reading.among, slots, access, filters)
        return _hits(near, {root.slot: root for root in found})[:limit]


def _hits(near: Iterable[Near], roots: Mapping[int, Found]) -> list[SemanticHit]:
    """The best passage of each document, best first."""
    best: dict[int, SemanticHit] = {}
    for one in near:
        root = roots.get(one.slot)
        if root and one.slot not in best:
            best[one.slot] = SemanticHit(
                root.document_id, root.version, root.revision, one.similarity, one.ordinal
            )
    return list(best.values())

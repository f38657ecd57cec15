"""Questions that the words index answers alone, on one snapshot. Everything here blocks: run it in a thread."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from tantivy import DocAddress, Query

from domain.search import (
    AccessFilter,
    FacetCount,
    Filters,
    LexicalQuery,
    LexicalResult,
    RootHit,
    SortKey,
    StoredPassage,
    StoredRoot,
)
from stores.search import paging, passage_choice
from stores.search.conditions import Documents, Match, documents, selected, visible
from stores.search.facet_counts import FIELDS, counted, known
from stores.search.shelf import Found, Shelves
from stores.search.tantivy_queries import compiled, ranked


class Reading:
    """One snapshot of one generation."""

    def __init__(self, shelves: Shelves) -> None:
        self.snapshot = shelves.snapshot()
        self.roots_schema = shelves.roots.index.schema
        self.passages_schema = shelves.passages.index.schema

    def lexical(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        limit: int,
        sort: SortKey,
        after: Sequence[Any] | None,
    ) -> LexicalResult:
        """By words score, ties by id; by id when nothing scores; or in a sort order."""
        match = documents(query, access)
        wanted = compiled(self.roots_schema, match)
        if sort is SortKey.RELEVANCE and match.scored:
            fetch = partial(self._scored, wanted)
        elif sort is SortKey.RELEVANCE:
            fetch = partial(self._by_id, wanted)
        else:
            fetch = partial(self._sorted, wanted, sort.value)
        hits, rank, total = paging.page(fetch, limit=limit, after=paging.Position(*after) if after else None)
        return LexicalResult(tuple(map(_hit, hits, range(rank + 1, rank + len(hits) + 1))), total)

    def facets(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        facets: Sequence[str],
        also: Sequence[UUID],
        size: int,
    ) -> dict[str, list[FacetCount]]:
        wanted = compiled(self.roots_schema, documents(query, access, also))
        return {name: self._facet(wanted, FIELDS[name], size) for name in known(facets)}

    def roots(self, ids: Sequence[UUID], access: AccessFilter) -> list[StoredRoot]:
        found = self._visible(ids, access)
        return [_stored(root, self.snapshot.roots.doc(address)["card"][0]) for root, address in found]

    def passages(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        ids: Sequence[UUID],
        ordinals: Mapping[UUID, Sequence[int]],
        per_document: int,
    ) -> dict[UUID, list[StoredPassage]]:
        choice = passage_choice.PassageChoice(
            self.snapshot.passages, self.passages_schema, query, per_document
        )
        return {
            root.document_id: choice.best(root, ordinals.get(root.document_id, ()))
            for root, _ in self._visible(ids, access)
        }

    def passage_count(self, access: AccessFilter, filters: Filters) -> int:
        """Passages of all documents that the caller may see and the filters select."""
        return self._sum(compiled(self.roots_schema, _selection(access, filters)))

    def total_passages(self) -> int:
        return self._sum(Query.all_query())

    def selection(self, access: AccessFilter, filters: Filters) -> dict[int, DocAddress]:
        """All roots that the caller may see and the filters select: where they are, by slot."""
        query = compiled(self.roots_schema, _selection(access, filters))
        return self._by_slot(query, max(1, self.snapshot.roots.num_docs))

    def among(self, slots: Sequence[int], access: AccessFilter, filters: Filters) -> dict[int, DocAddress]:
        """As `selection`, of these slots only."""
        own = Query.const_score_query(Query.term_set_query(self.roots_schema, "slot", list(slots)), 0.0)
        query = compiled(self.roots_schema, _selection(access, filters)).and_must_match(own)
        return self._by_slot(query, max(1, len(slots)))

    def _by_slot(self, query: Query, limit: int) -> dict[int, DocAddress]:
        addresses = [address for _, address in self.snapshot.roots.search(query, limit, count=False).hits]
        slots = self.snapshot.roots.fast_field_values("slot", addresses)
        return {int(slot or 0): address for slot, address in zip(slots, addresses, strict=True)}

    def _visible(self, ids: Sequence[UUID], access: AccessFilter) -> list[tuple[Found, DocAddress]]:
        """Those of the documents that the caller may see, in the given order."""
        if not ids:
            return []
        query = compiled(self.roots_schema, Match(filters=(visible(access), Documents(tuple(ids)))))
        addresses = [address for _, address in self.snapshot.roots.search(query, len(ids), count=False).hits]
        place = {one: index for index, one in enumerate(ids)}
        found = zip(self.snapshot.found(addresses), addresses, strict=True)
        return sorted(found, key=lambda pair: place[pair[0].document_id])

    def _scored(self, query: Query, start: int, stop: int) -> paging.Stretch:
        hits, total = ranked(self.snapshot.roots, query, start, stop)
        found = self.snapshot.found([address for _, address in hits])
        places = zip(hits, found, strict=True)
        return paging.Stretch(
            [paging.Ranked(-score, root.document_id.hex, root) for (score, _), root in places], total
        )

    def _by_id(self, query: Query, start: int, stop: int) -> paging.Stretch:
        """Ordered here when all are wanted: the engine takes four times as long to order by a text as to find."""
        if start == 0:
            hits, total = ranked(self.snapshot.roots, query, 0, stop)
            if total <= stop:
                found = self.snapshot.found([address for _, address in hits])
                return paging.Stretch(
                    [paging.Ranked(root.document_id.hex, "", root) for root in found], total
                )
        return self._sorted(query, "document", start, stop)

    def _sorted(self, query: Query, field: str, start: int, stop: int) -> paging.Stretch:
        hits, total = ranked(self.snapshot.roots, query, start, stop, by=field)
        found = self.snapshot.found([address for _, address in hits])
        return paging.Stretch(
            [paging.Ranked(key, "", root) for (key, _), root in zip(hits, found, strict=True)], total
        )

    def _facet(self, query: Query, field: str, size: int) -> list[FacetCount]:
        """Widened until no value is left out that ties with the last one."""
        wanted = 2 * size
        while True:
            terms = {"field": field, "size": wanted, "segment_size": 65_000, "order": {"_count": "desc"}}
            buckets = self.snapshot.roots.aggregate(query, {"values": {"terms": terms}})["values"]["buckets"]
            if len(buckets) < wanted or buckets[-1]["doc_count"] < buckets[size - 1]["doc_count"]:
                return counted(((one["key"], one["doc_count"]) for one in buckets), size)
            wanted *= 4

    def _sum(self, query: Query) -> int:
        answer = self.snapshot.roots.aggregate(query, {"passages": {"sum": {"field": "passages"}}})
        return int(answer["passages"]["value"] or 0)


def _selection(access: AccessFilter, filters: Filters) -> Match:
    return Match(filters=(visible(access), *selected(filters)))


def _hit(hit: paging.Ranked, rank: int) -> RootHit:
    root: Found = hit.address
    score = -hit.key if isinstance(hit.key, float) else 0.0
    return RootHit(root.document_id, root.version, root.revision, score, (hit.key, hit.identity, rank))


def _stored(root: Found, card: bytes) -> StoredRoot:
    title, document_type, patient, day = json.loads(bytes(card))
    return StoredRoot(
        root.document_id,
        root.version,
        root.revision,
        title,
        document_type,
        patient,
        date.fromisoformat(day) if day else None,
    )

"""Questions to Elasticsearch, on one index or alias."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

from elasticsearch import AsyncElasticsearch

from domain.search import (
    AccessFilter,
    FacetCount,
    Filters,
    LexicalQuery,
    LexicalResult,
    RootHit,
    SemanticHit,
    SortKey,
    StoredPassage,
    StoredRoot,
    Vector,
)
from stores.search import elastic_mapping as mapping
from stores.search import records
from stores.search.conditions import (
    Documents,
    Match,
    OneOf,
    documents,
    passage_filters,
    passage_words,
    selected,
    visible,
)
from stores.search.elastic_errors import away
from stores.search.elastic_queries import Query, compiled, passages, roots
from stores.search.facet_counts import FIELDS, counted, known
from stores.search.passage_order import chosen

MOST_CANDIDATES = 10_000
PASSAGES_A_DOCUMENT = 1.5
ATTEMPTS = 3
IDENTITY = ["document", "version", "revision"]


class ElasticReading:
    """Reads from `index`. Every search fails rather than answer from a part of the shards."""

    def __init__(self, client: AsyncElasticsearch, index: str) -> None:
        self._client = client
        self._index = index

    async def lexical(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        limit: int,
        sort: SortKey,
        after: Sequence[Any] | None,
    ) -> LexicalResult:
        """By words score, ties by id; by id when nothing scores; or in a sort order."""
        match = documents(query, access)
        by_score = sort is SortKey.RELEVANCE and match.scored
        field = "document" if sort is SortKey.RELEVANCE else sort.value
        answer = await self._search(
            roots(match),
            size=limit,
            sort=[{"_score": "desc"}, {"document": "asc"}] if by_score else [{field: "asc"}],
            search_after=list(after) if after else None,
            docvalue_fields=IDENTITY,
            track_total_hits=True,
        )
        hits = [_root_hit(hit, by_score) for hit in answer["hits"]]
        return LexicalResult(tuple(hits), answer["total"]["value"])

    async def semantic(
        self, vector: Vector, access: AccessFilter, filters: Filters, limit: int
    ) -> list[SemanticHit]:
        """The nearest documents. A passage whose root is another version by now is no hit: then it is asked again."""
        wanted = min(MOST_CANDIDATES, max(10, int(limit * PASSAGES_A_DOCUMENT)))
        attempt = 1
        while True:
            near = await self._near(vector, access, filters, wanted)
            hits, overtaken = await self._agreeing(near, access)
            if overtaken and attempt < ATTEMPTS:
                attempt += 1
            elif len(hits) >= limit or len(near) < wanted or wanted == MOST_CANDIDATES:
                return hits[:limit]
            else:
                wanted = min(MOST_CANDIDATES, wanted * 4)

    async def _near(self, vector: Vector, access: AccessFilter, filters: Filters, wanted: int) -> list[Query]:
        knn = {
            "field": "embedding",
            "query_vector": vector.tolist(),
            "k": wanted,
            "num_candidates": min(MOST_CANDIDATES, max(200, 2 * wanted)),
            "filter": passages(visible(access), *selected(filters)),
        }
        answer = await self._search(knn=knn, size=wanted, docvalue_fields=["document", "version", "ordinal"])
        hits: list[Query] = answer["hits"]
        return hits

    async def facets(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        facets: Sequence[str],
        also: Sequence[UUID],
        size: int,
    ) -> dict[str, list[FacetCount]]:
        order = [{"_count": "desc"}, {"_key": "asc"}]
        terms = {
            name: {"terms": {"field": FIELDS[name], "size": size, "shard_size": 10_000, "order": order}}
            for name in known(facets)
        }
        if not terms:
            return {}
        answer = await self._raw(roots(documents(query, access, also)), size=0, aggs=terms)
        return {
            name: counted(
                ((one["key"], one["doc_count"]) for one in answer["aggregations"][name]["buckets"]), size
            )
            for name in terms
        }

    async def roots(self, ids: Sequence[UUID], access: AccessFilter) -> list[StoredRoot]:
        return [_stored_root(hit) for hit in await self._visible(ids, access, source=["record", "revision"])]

    async def passages(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        ids: Sequence[UUID],
        ordinals: Mapping[UUID, Sequence[int]],
        per_document: int,
    ) -> dict[UUID, list[StoredPassage]]:
        """Asked again when a document was replaced between the look at its root and at its passages."""
        for _ in range(ATTEMPTS):
            owners = [_owner(hit) for hit in await self._visible(ids, access, fields=["passages"])]
            searches = [
                search
                for owner in owners
                for search in _searches(query, owner, ordinals.get(owner.document_id, ()), per_document)
            ]
            found = iter(await self._many(searches))
            result: dict[UUID, list[StoredPassage]] = {}
            for owner in owners:
                satisfying, best, named = ([_passage(owner, hit) for hit in next(found)] for _ in range(3))
                result[owner.document_id] = chosen(
                    satisfying, best, named, filters=query.filters, per_document=per_document
                )
            if all(result[owner.document_id] for owner in owners if owner.passages):
                break
        return result

    async def visible_passages(self, access: AccessFilter) -> int:
        total = {"passages": {"sum": {"field": "passages"}}}
        answer = await self._raw(roots(Match(filters=(visible(access),))), size=0, aggs=total)
        return int(answer["aggregations"]["passages"]["value"])

    async def _agreeing(self, near: Sequence[Query], access: AccessFilter) -> tuple[list[SemanticHit], bool]:
        """The best passage of each document in the version of its visible root; whether one had another version."""
        documents = {UUID(hit["fields"]["document"][0]) for hit in near}
        owners = {
            owner.document_id: owner for owner in map(_owner, await self._visible(list(documents), access))
        }
        best: dict[UUID, SemanticHit] = {}
        overtaken = False
        for hit in near:
            owner = owners.get(UUID(hit["fields"]["document"][0]))
            if owner is None:
                continue
            if owner.version != hit["fields"]["version"][0]:
                overtaken = True
            elif owner.document_id not in best:
                best[owner.document_id] = SemanticHit(
                    owner.document_id,
                    owner.version,
                    owner.revision,
                    2 * hit["_score"] - 1,
                    hit["fields"]["ordinal"][0],
                )
        return list(best.values()), overtaken

    async def _visible(
        self,
        ids: Sequence[UUID],
        access: AccessFilter,
        *,
        source: Sequence[str] = (),
        fields: Sequence[str] = (),
    ) -> list[Query]:
        """The roots of those documents that the caller may see, in the given order."""
        if not ids:
            return []
        wanted = Match(filters=(visible(access), Documents(tuple(ids))))
        found = await self._search(
            roots(wanted), size=len(ids), source=list(source) or False, docvalue_fields=[*IDENTITY, *fields]
        )
        place = {one.hex: index for index, one in enumerate(ids)}
        return sorted(found["hits"], key=lambda hit: place[hit["fields"]["document"][0]])

    async def _search(self, query: Query | None = None, *, source: Any = False, **how: Any) -> Query:
        answer = await self._raw(query, source=source, **how)
        hits: Query = answer["hits"]
        return hits

    async def _raw(self, query: Query | None, **how: Any) -> Query:
        given = {name: value for name, value in how.items() if value is not None}
        answer = await self._client.search(
            index=self._index,
            query=query,
            allow_partial_search_results=False,
            preference=_copy(query),
            **given,
        )
        body: Query = answer.body
        return body

    async def _many(self, searches: Sequence[Query]) -> list[list[Query]]:
        if not searches:
            return []
        lines = [line for search in searches for line in ({"allow_partial_search_results": False}, search)]
        answer = await self._client.msearch(index=self._index, searches=lines)
        for one in answer["responses"]:
            if "error" in one:
                raise away()
        return [one["hits"]["hits"] for one in answer["responses"]]


@dataclass(frozen=True, slots=True)
class Owner:
    """A visible root, as far as its passages need it."""

    document_id: UUID
    version: int
    revision: int
    passages: int


def _owner(hit: Query) -> Owner:
    fields = hit["fields"]
    counted = fields.get("passages", [0])[0]
    return Owner(UUID(fields["document"][0]), fields["version"][0], fields["revision"][0], counted)


def _root_hit(hit: Query, by_score: bool) -> RootHit:
    owner = _owner(hit)
    score = hit["sort"][0] if by_score else 0.0
    return RootHit(owner.document_id, owner.version, owner.revision, score, tuple(hit["sort"]))


def _stored_root(hit: Query) -> StoredRoot:
    root = records.load_root(json.loads(hit["_source"]["record"]))
    return StoredRoot(
        root.document_id, root.version, root.revision, root.title, root.document_type, root.patient, root.date
    )


def _searches(query: LexicalQuery, owner: Owner, ordinals: Sequence[int], per_document: int) -> list[Query]:
    """Of one document: what satisfies the filters, the best ones, the named ones."""
    own = OneOf("key", (mapping.key(owner.document_id, owner.version),))
    conditions = passage_filters(query.filters)
    named = {"terms": {"ordinal": sorted(set(ordinals))}}
    return [
        _best(query, passages(own, *conditions), per_document if conditions else 0),
        _best(query, passages(own), per_document),
        _best(query, [*passages(own), named], len(named["terms"]["ordinal"])),
    ]


def _best(query: LexicalQuery, filters: Sequence[Query], size: int) -> Query:
    return {
        "query": {"bool": {"filter": filters, "should": [compiled(words) for words in passage_words(query)]}},
        "size": size,
        "sort": [{"_score": "desc"}, {"ordinal": "asc"}],
        "_source": ["content"],
        "track_total_hits": False,
    }


def _passage(owner: Owner, hit: Query) -> StoredPassage:
    return records.load_passage(owner.document_id, owner.version, hit["_source"]["content"], hit["sort"][0])


def _copy(query: Query | None) -> str:
    """The same copies of the shards for the same question, as copies differ in their statistics."""
    return blake2b(json.dumps(query, sort_keys=True).encode(), digest_size=8).hexdigest()

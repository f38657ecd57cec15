"""The index on Elasticsearch 9, Basic licence, no plugin: for clusters and for more than one machine holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from elasticsearch import AsyncElasticsearch, BadRequestError

from domain.errors import Invalid
from domain.search import (
    AccessFilter,
    FacetCount,
    Filters,
    Generation,
    IndexOperation,
    LexicalQuery,
    LexicalResult,
    SemanticHit,
    SortKey,
    StoredPassage,
    StoredRoot,
    Vector,
)
from stores.ports import WriteReport
from stores.search.batch import document_of, settle
from stores.search.conditions import visible
from stores.search.elastic_errors import answering, connect
from stores.search.elastic_generations import ElasticGenerations
from stores.search.elastic_reading import ElasticReading
from stores.search.elastic_writing import ElasticWriting

__all__ = ["ElasticsearchIndex", "connect"]


class ElasticsearchIndex:
    """`SearchIndex` on the indices whose names begin with `prefix`. Closes the client it was given."""

    def __init__(
        self, client: AsyncElasticsearch, prefix: str, *, shards: int = 1, replicas: int = 0
    ) -> None:
        self._client = client
        self._generations = ElasticGenerations(client, prefix, shards=shards, replicas=replicas)

    async def create(self, generation: Generation) -> None:
        await self._generations.create(generation)

    async def generations(self) -> list[Generation]:
        return await self._generations.all()

    async def live(self) -> Generation:
        return await self._generations.current()

    async def promote(self, name: str) -> None:
        await self._generations.promote(name)

    async def drop(self, name: str) -> None:
        await self._generations.drop(name)

    async def write(self, generation: str, operations: Sequence[IndexOperation]) -> WriteReport:
        with answering(generation):
            writing = ElasticWriting(self._client, self._generations.index(generation))
            known = await writing.indexed(map(document_of, operations))
            batch = settle(operations, known)
            lost = await writing.apply(batch, known) if batch.changes else []
        stale = (*batch.stale, *lost)
        return WriteReport(len(operations) - len(stale), stale)

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
        visible(access)
        with answering(generation):
            return await self._reading(generation).lexical(query, access, limit, sort, after)

    async def semantic(
        self,
        vector: Vector,
        access: AccessFilter,
        *,
        filters: Filters,
        limit: int,
        generation: str | None = None,
    ) -> list[SemanticHit]:
        visible(access)
        try:
            with answering(generation):
                return await self._reading(generation).semantic(vector, access, filters, limit)
        except BadRequestError as error:
            if "different number of dimensions" not in str(error):
                raise
            raise Invalid(
                "The vector has the wrong number of components.", code="search.vector_dimension"
            ) from error

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
        visible(access)
        with answering(generation):
            return await self._reading(generation).facets(query, access, facets, also, size)

    async def roots(
        self, documents: Sequence[UUID], access: AccessFilter, *, generation: str | None = None
    ) -> list[StoredRoot]:
        visible(access)
        with answering(generation):
            return await self._reading(generation).roots(documents, access)

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
        visible(access)
        with answering(generation):
            return await self._reading(generation).passages(query, access, documents, ordinals, per_document)

    async def visible_passages(self, access: AccessFilter, *, generation: str | None = None) -> int:
        visible(access)
        with answering(generation):
            return await self._reading(generation).visible_passages(access)

    async def close(self) -> None:
        await self._client.close()

    def _reading(self, generation: str | None) -> ElasticReading:
        return ElasticReading(self._client, self._generations.index(generation))

"""Writing to Elasticsearch: passages, then roots with the removal of what they replace, then one refresh."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any
from uuid import UUID

from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_bulk

from domain.errors import Invalid
from domain.search import Root
from stores.search import elastic_mapping as mapping
from stores.search.batch import Batch, Change, Indexed
from stores.search.elastic_errors import OVERLOADED, away
from stores.search.elastic_queries import passages as passages_query

Action = dict[str, Any]

AT_ONCE = 500
CONFLICT = 409


class ElasticWriting:
    """Writes batches to one index. All ids are deterministic and every write carries its revision."""

    def __init__(self, client: AsyncElasticsearch, index: str) -> None:
        self._client = client
        self._index = index

    async def indexed(self, documents: Iterable[UUID]) -> dict[UUID, Indexed]:
        """What the index holds of the documents, also what was not refreshed yet."""
        await self._client.indices.get_settings(index=self._index)  # an unknown index is an error, never made
        ids = sorted({document_id.hex for document_id in documents})
        if not ids:
            return {}
        fields = ["revision", "passages", "record"]
        asked = [{"_id": one, "routing": one, "_source": fields} for one in ids]
        answer = await self._client.mget(index=self._index, docs=asked)
        if any("error" in one for one in answer["docs"]):
            raise away()
        return {UUID(one["_id"]): mapping.indexed(one["_source"]) for one in answer["docs"] if one["found"]}

    async def apply(self, batch: Batch, known: dict[UUID, Indexed]) -> list[UUID]:
        """Make the changes visible; returns documents for which another writer was ahead."""
        await self._bulk(self._passages(batch.changes))
        lost = await self._bulk([self._root(change) for change in batch.changes])
        await self._bulk(_replaced(batch.changes, known, self._index))
        await self._client.indices.refresh(index=self._index)
        await self._sweep(batch.changes)
        return [UUID(one) for one in lost]

    def _root(self, change: Change) -> Action:
        return _put(self._index, change, mapping.root_id(change.document_id), mapping.root_source(change))

    async def _passages(self, changes: Sequence[Change]) -> AsyncIterator[Action]:
        """Passages of new versions, and with new filter fields those that the index has. Lazily: vectors are big."""
        if any(change.after.root and change.passages is None for change in changes):
            await self._client.indices.refresh(index=self._index)  # once for all that `_stored` will look for
        for change in changes:
            root = change.after.root
            if root is None:
                continue
            if change.passages is None:
                sources: Iterable[mapping.Source] = await self._stored(root)
            else:
                sources = (mapping.passage_source(root, passage) for passage in change.passages)
            for source in sources:
                identity = mapping.passage_id(root.document_id, root.version, source["ordinal"])
                yield _put(self._index, change, identity, source)

    async def _stored(self, root: Root) -> list[mapping.Source]:
        """The passages of the root's version, as of the last refresh, with its present filter fields."""
        changed = mapping.filter_fields(root)
        key = {"term": {"key": mapping.key(root.document_id, root.version)}}
        found: list[mapping.Source] = []
        while True:
            answer = await self._client.search(
                index=self._index,
                query={"bool": {"filter": [*passages_query(), key]}},
                size=AT_ONCE,
                sort="ordinal",
                search_after=[found[-1]["ordinal"]] if found else None,
                source={"exclude_vectors": False},
                routing=root.document_id.hex,
            )
            hits = answer["hits"]["hits"]
            found += [hit["_source"] | changed for hit in hits]
            if len(hits) < AT_ONCE:
                return found

    async def _sweep(self, changes: Sequence[Change]) -> None:
        """Remove what an interrupted writer left behind; normally there is nothing."""
        kept = [_own(root, change.after.passages) for change in changes if (root := change.after.root)]
        theirs = {"terms": {"document": [change.document_id.hex for change in changes]}}
        query = {"bool": {"filter": [*passages_query(), theirs], "must_not": kept}}
        revisions = {change.document_id.hex: change.after.revision for change in changes}
        while True:
            found = await self._client.search(
                index=self._index,
                query=query,
                size=AT_ONCE,
                source=False,
                docvalue_fields=[{"field": "document"}],
            )
            left = [(hit["_id"], hit["fields"]["document"][0]) for hit in found["hits"]["hits"]]
            if not left:
                return
            newer = await self._bulk(
                [_delete(self._index, one, document, revisions[document]) for one, document in left]
            )
            await self._client.indices.refresh(index=self._index)
            if newer:  # another writer is at work on them
                return

    async def _bulk(self, actions: Iterable[Action] | AsyncIterable[Action]) -> list[str]:
        """Ids of what met a higher revision. Raises `Unavailable` or, for a refusal, `Invalid`."""
        _, failed = await async_bulk(
            self._client,
            actions,
            chunk_size=AT_ONCE,
            raise_on_error=False,
            max_retries=3,
            initial_backoff=0.5,
        )
        results = [next(iter(one.values())) for one in failed]  # type: ignore[union-attr]
        if any(one["status"] in OVERLOADED for one in results):
            raise away()
        refused = [one for one in results if one["status"] not in (CONFLICT, 404)]
        if refused:
            raise Invalid(
                f"Elasticsearch refused a document ({refused[0]['error']['type']}).",
                code="search.document_refused",
            )
        return [one["_id"] for one in results if one["status"] == CONFLICT]


def _own(root: Root, count: int) -> Action:
    key = {"term": {"key": mapping.key(root.document_id, root.version)}}
    return {"bool": {"filter": [key, {"range": {"ordinal": {"lt": count}}}]}}


def _replaced(changes: Sequence[Change], known: dict[UUID, Indexed], index: str) -> list[Action]:
    """Deletions of the former version's passages that the new one does not overwrite."""
    actions = []
    for change in changes:
        before, after = known.get(change.document_id), change.after
        if before is None or before.root is None:
            continue
        same = after.root is not None and after.root.version == before.root.version
        for ordinal in range(after.passages if same else 0, before.passages):
            one = mapping.passage_id(change.document_id, before.root.version, ordinal)
            actions.append(_delete(index, one, change.document_id.hex, after.revision))
    return actions


def _put(index: str, change: Change, identity: str, source: mapping.Source) -> Action:
    return {"_op_type": "index", "_source": source} | _addressed(
        index, identity, change.document_id.hex, change.after.revision
    )


def _delete(index: str, identity: str, document: str, revision: int) -> Action:
    return {"_op_type": "delete"} | _addressed(index, identity, document, revision)


def _addressed(index: str, identity: str, document: str, revision: int) -> Action:
    return {
        "_index": index,
        "_id": identity,
        "routing": document,
        "version": revision,
        "version_type": "external_gte",
    }

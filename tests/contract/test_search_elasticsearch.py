"""The index on a real Elasticsearch: the conformance suite, and what only it must hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from elasticsearch import AsyncElasticsearch

from stores.search.elastic import ElasticsearchIndex
from tests.contract.conformance.search_index import SearchIndexConformance, generation

pytestmark = pytest.mark.elasticsearch


@pytest.fixture
def prefix() -> str:
    return f"t{uuid4().hex[:8]}"


@pytest.fixture
async def index(prefix: str, elasticsearch_url: str) -> AsyncIterator[ElasticsearchIndex]:
    async with client_of(elasticsearch_url) as client:
        index = ElasticsearchIndex(client, prefix)
        await index.create(generation("g1"))
        await index.promote("g1")
        yield index
        made = await client.indices.get(index=f"{prefix}-generation-*")
        await client.indices.delete(index=list(made))


@pytest.fixture
async def reader(
    index: ElasticsearchIndex, prefix: str, elasticsearch_url: str
) -> AsyncIterator[ElasticsearchIndex]:
    async with client_of(elasticsearch_url) as client:
        yield ElasticsearchIndex(client, prefix)


def client_of(url: str) -> AsyncElasticsearch:
    return AsyncElasticsearch([url], request_timeout=60)


class TestElasticsearchIndex(SearchIndexConformance):
    pass

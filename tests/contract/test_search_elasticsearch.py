"""The index on a real Elasticsearch: the conformance suite, and what only it must hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
from elasticsearch import AsyncElasticsearch

from config.secrets import SecretStore
from config.settings import SearchSettings, Settings
from domain.errors import Unavailable
from domain.search import DeleteDocument, Filters
from stores.search import open_index
from stores.search.batch import settle
from stores.search.elastic import ElasticsearchIndex
from stores.search.elastic_writing import AT_ONCE, ElasticWriting
from stores.search.embedded import EmbeddedIndex
from tests.contract.conformance.letters import ANNA, BERT, direction, everything, letter, words
from tests.contract.conformance.search_index import SearchIndexConformance
from tests.contract.conformance.search_steps import found, generation, put, update

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


async def test_leftovers_of_a_dead_writer_are_never_shown_and_go_with_the_next_operation(
    index: ElasticsearchIndex, prefix: str, elasticsearch_url: str
) -> None:
    one = letter("first")
    second = replace(letter("second", "part"), id=one.id, version=2, revision=2)
    await put(index, one)
    async with client_of(elasticsearch_url) as client:
        physical = f"{prefix}-generation-g1"
        writing = ElasticWriting(client, physical)
        await writing._bulk(writing._passages(settle([second.put], {}).changes))
        await client.indices.refresh(index=physical)
        assert await found(index, words("first")) == {one.id}
        near = await index.semantic(direction(1), ANNA, filters=Filters(), limit=5)
        assert [hit.version for hit in near] == [1]
        await index.write("g1", [DeleteDocument(one.id, 3)])
        left = await client.search(index=physical, query={"term": {"kind": "passage"}})
        assert left["hits"]["total"]["value"] == 0


async def test_a_long_document_is_updated_whole(index: ElasticsearchIndex) -> None:
    long = letter(*(f"page {n} fever" for n in range(AT_ONCE + 20)))
    await put(index, long)
    await index.write("g1", [update(long, revision=2, access=("user:bert",))])
    assert await index.visible_passages(BERT) == AT_ONCE + 20
    near = await index.semantic(direction(1), BERT, filters=Filters(), limit=1)
    assert [hit.document_id for hit in near] == [long.id]
    last = AT_ONCE + 19
    shown = await index.passages(words("fever"), BERT, documents=[long.id], ordinals={long.id: [last]})
    assert last in [one.ordinal for one in shown[long.id]]


async def test_a_server_that_is_away_or_empty_is_said(prefix: str, elasticsearch_url: str) -> None:
    for url, code in (
        ("http://127.0.0.1:9", "store.elasticsearch_unavailable"),
        (elasticsearch_url, "search.index_missing"),
    ):
        async with AsyncElasticsearch([url], max_retries=1) as client:
            index = ElasticsearchIndex(client, prefix)
            with pytest.raises(Unavailable) as caught:
                await index.lexical(everything(), ANNA, limit=1)
            assert caught.value.code == code
            assert caught.value.retry_after


async def test_the_settings_choose_the_backend(
    settings: Settings, secrets: SecretStore, elasticsearch_url: str, prefix: str
) -> None:
    chosen = SearchSettings(
        backend="elasticsearch", elasticsearch_urls=(elasticsearch_url,), index_prefix=prefix
    )
    elastic = open_index(settings.model_copy(update={"search": chosen}), secrets)
    assert isinstance(elastic, ElasticsearchIndex)
    assert await elastic.generations() == []
    await elastic.close()
    embedded = open_index(settings, secrets)
    assert isinstance(embedded, EmbeddedIndex)
    assert isinstance(await embedded.generations(), list)
    await embedded.close()

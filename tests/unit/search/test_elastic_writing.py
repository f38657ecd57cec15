"""What a batch asks of Elasticsearch, told by a client that only counts."""

from __future__ import annotations

from typing import Any

from stores.search.batch import Indexed, settle
from stores.search.elastic_writing import ElasticWriting
from tests.contract.conformance.letters import letter
from tests.contract.conformance.search_steps import update


class Counting:
    """The part of the client that reads passages back: an index without any."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.indices = self

    async def refresh(self, **_: Any) -> None:
        self.asked.append("refresh")

    async def search(self, **_: Any) -> dict[str, Any]:
        self.asked.append("search")
        return {"hits": {"hits": []}}


async def passages(*operations: Any, known: dict[Any, Indexed]) -> list[str]:
    """What was asked to find the passages of these operations."""
    client: Any = Counting()
    writing = ElasticWriting(client, "index")
    async for _ in writing._passages(settle(operations, known).changes):
        pass
    return list(client.asked)


async def test_a_batch_of_changes_refreshes_once() -> None:
    letters = [letter("fever") for _ in range(5)]
    known = {one.id: Indexed(1, one.put.root, 1) for one in letters}
    updates = [update(one, revision=2) for one in letters]
    assert await passages(*updates, known=known) == ["refresh", *["search"] * 5]


async def test_a_batch_of_documents_refreshes_nothing_before() -> None:
    assert await passages(letter("fever").put, known={}) == []

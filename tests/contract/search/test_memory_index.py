"""The in-memory fake of the service tests answers as the real indexes do."""

from __future__ import annotations

import pytest

from tests.contract.conformance.search_index import SearchIndexConformance
from tests.contract.conformance.search_steps import generation
from tests.memory_index import MemoryIndex


@pytest.fixture
async def index() -> MemoryIndex:
    index = MemoryIndex()
    await index.create(generation("live"))
    await index.promote("live")
    return index


@pytest.fixture
def reader(index: MemoryIndex) -> MemoryIndex:
    """Where several processes would open one index each, the fake is shared."""
    return index


class TestMemoryIndex(SearchIndexConformance):
    pass

"""What the index writer has queued for a generation that is built, also when a store was away in between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from actors.generations import Generations
from domain.errors import Unavailable
from domain.ids import new_id
from domain.search import Generation
from tests.memory_index import MemoryIndex

OLD = Generation("g1", "old@1", 4, "1")
NEW = Generation("g2", "new@1", 4, "1")
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


class Filling:
    """Remembers what was asked to be queued; with `more` that is never all."""

    def __init__(self) -> None:
        self.begun = {"g2": BEGUN}
        self.asked: list[tuple[str, int | None]] = []
        self.more = False
        self.away = False

    async def filled(self) -> dict[str, datetime]:
        return self.begun

    async def fill(self, generation: str, *, documents: Sequence[UUID] | None = None) -> bool:
        if self.away:
            raise Unavailable("away")
        self.asked.append((generation, None if documents is None else len(documents)))
        return not self.more

    async def emptied(self, generation: str) -> None: ...

    async def vectors(self, generation: str, document_id: UUID, version: int) -> str | None:
        return None


class Jobs:
    async def any_indexed(self) -> bool:
        return False


@pytest.fixture
def filling() -> Filling:
    return Filling()


@pytest.fixture
async def generations(filling: Filling) -> Generations:
    index = MemoryIndex()
    for one in (OLD, NEW):
        await index.create(one)
    await index.promote("g1")
    made = Generations(index, filling, Jobs(), OLD)
    await made.prepare()
    return made


async def test_everything_is_looked_through_until_all_is_queued(
    generations: Generations, filling: Filling
) -> None:
    filling.more = True
    await generations.fill()
    await generations.fill()
    assert sorted(filling.asked) == [("g1", None)] * 2 + [("g2", None)] * 2
    filling.more = False
    await generations.fill()
    filling.asked.clear()
    await generations.fill()
    assert filling.asked == []
    filling.begun = {"g2": datetime.now(UTC)}
    await generations.fill()
    assert filling.asked == [("g2", None)]


async def test_what_is_new_follows_into_those_that_have_all_others(
    generations: Generations, filling: Filling
) -> None:
    await generations.follow([new_id()])
    assert filling.asked == []
    await generations.fill()
    filling.asked.clear()
    await generations.follow([new_id(), new_id()])
    assert filling.asked == [("g2", 2)]
    filling.begun = {}
    await generations.fill()
    await generations.follow([new_id()])
    assert filling.asked == [("g2", 2)]


async def test_what_could_not_follow_is_found_after_the_trouble(
    generations: Generations, filling: Filling
) -> None:
    await generations.fill()
    filling.away = True
    with pytest.raises(Unavailable):
        await generations.follow([new_id()])
    generations.distrust()
    filling.away = False
    filling.asked.clear()
    await generations.prepare()
    await generations.fill()
    assert ("g2", None) in filling.asked

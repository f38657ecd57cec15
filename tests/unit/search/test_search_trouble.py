"""A search while the encoder, the index or a generation goes away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from config.settings import SearchSettings
from deployments.search.schemas import FacetName, FacetScope, Mode
from domain.errors import Unavailable
from tests.memory_index import MemoryIndex
from tests.search_world import GENERATION, World, document, vector_of
from tests.unit.search.asking import asked, every_page, ids

NEW = replace(GENERATION, name="g2", encoder="words@2")


class Silent(MemoryIndex):
    """An index that is away."""

    async def lexical(self, *args: Any, **options: Any) -> Any:
        raise Unavailable("no node")


class TestAway:
    async def test_without_meaning_hybrid_answers_by_words_and_says_so(self, world: World) -> None:
        known = await world.put(*(document("fever") for _ in range(3)))
        world.encoder.away = True
        answers = await every_page(world, "fever", limit=2)
        assert {tuple(answer.degraded) for answer in answers} == {("semantic",)}
        assert {tuple(answer.legs) for answer in answers} == {("lexical",)}
        assert {answer.facets_scope for answer in answers} == {FacetScope.MATCHES}
        assert sorted(ids(*answers)) == sorted(known)
        world.encoder.away = False
        assert (await asked(world, "fever")).degraded == []

    async def test_meaning_alone_is_refused_with_the_way_out(self, world: World) -> None:
        world.encoder.away = True
        with pytest.raises(Unavailable) as refused:
            await asked(world, "fever", mode="semantic")
        assert refused.value.code == "search.semantic_unavailable"
        assert refused.value.retry_after

    async def test_vectors_of_another_model_are_not_compared(self, world: World) -> None:
        await world.put(document("fever"))
        world.encoder.name = "other@2"
        assert (await asked(world, "fever")).degraded == ["semantic"]

    async def test_a_search_stays_with_the_generation_it_began_with(self, world: World) -> None:
        await world.put(document("fever"))
        await world.index.create(NEW)
        fresh = [document("fever") for _ in range(2)]
        await world.index.write(NEW.name, fresh)
        for one in fresh:
            world.visibility.rows[one.root.document_id] = (1, frozenset(one.root.access))
        asked_by: list[str] = []

        class Promoting(type(world.encoder)):  # type: ignore[misc]
            async def encode(self, text: str, encoder: str) -> Any:
                asked_by.append(encoder)
                await world.index.promote(NEW.name)
                return vector_of(text)

        world.encoder = Promoting()
        answer = await asked(world, "fever", facets=["document_type"])
        assert (answer.total.value, answer.degraded, len(answer.hits)) == (1, [], 1)
        assert answer.facets[FacetName.DOCUMENT_TYPE][0].count == 1
        assert (await asked(world, "fever")).total.value == 2
        assert asked_by == [GENERATION.encoder, NEW.encoder]

    async def test_a_generation_that_is_dropped_during_a_search_is_replaced_by_the_live_one(
        self, world: World
    ) -> None:
        await world.put(document("fever"))
        await world.index.create(NEW)
        fresh = document("fever")
        await world.index.write(NEW.name, [fresh])
        world.visibility.rows[fresh.root.document_id] = (1, frozenset(fresh.root.access))

        class Dropping(type(world.encoder)):  # type: ignore[misc]
            async def encode(self, text: str, encoder: str) -> Any:
                if encoder == GENERATION.encoder:
                    await world.index.promote(NEW.name)
                    await world.index.drop(GENERATION.name)
                return vector_of(text)

        world.encoder = Dropping()
        answer = await asked(world, "fever", mode="semantic")
        assert ids(answer) == [fresh.root.document_id]
        assert len(world.audit.entries) == 1

    async def test_an_encoder_that_hangs_holds_nobody_up(self, world: World) -> None:
        class Hanging(type(world.encoder)):  # type: ignore[misc]
            async def encode(self, text: str, encoder: str) -> Any:
                await asyncio.sleep(60)

        await world.put(document("fever"))
        world.settings = SearchSettings(leg_timeout_seconds=0.05)
        world.encoder = Hanging()
        assert (await asked(world, "fever")).degraded == ["semantic"]

    @pytest.mark.parametrize("mode", [Mode.LEXICAL, Mode.HYBRID])
    async def test_without_the_index_there_is_a_clear_503(self, world: World, mode: Mode) -> None:
        world.index = Silent()
        with pytest.raises(Unavailable) as refused:
            await asked(world, "fever", mode=mode)
        assert refused.value.code == "search.index_unavailable"
        assert refused.value.retry_after
        assert world.audit.entries == []

"""Generations of a search index: built beside the live one, promoted and dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.errors import Conflict, Invalid, NotFound
from domain.search import GenerationState
from stores.ports import SearchIndex
from tests.contract.conformance.letters import ANNA, DIMENSION, letter, words
from tests.contract.conformance.search_steps import found, generation, live, put


class GenerationsConformance:
    """Changing the models without a gap."""

    async def test_a_generation_is_built_beside_the_live_one_and_promoted(self, index: SearchIndex) -> None:
        old = await live(index)
        await put(index, letter("fever"))
        fresh = generation(f"{old}-b")
        await index.create(fresh)
        await index.create(fresh)
        one = letter("fever in the new one")
        await index.write(fresh.name, [one.put])
        assert one.id not in await found(index, words("fever"))
        result = await index.lexical(words("fever"), ANNA, limit=5, generation=fresh.name)
        assert [hit.document_id for hit in result.hits] == [one.id]
        assert (await index.live()).name == old
        await index.promote(fresh.name)
        now = await index.live()
        assert (now.name, now.encoder, now.source) == (fresh.name, fresh.encoder, fresh.source)
        assert await found(index, words("fever")) == {one.id}
        states = {g.name: g.state for g in await index.generations()}
        assert (states[old], states[fresh.name]) == (GenerationState.RETIRED, GenerationState.LIVE)
        with pytest.raises(Conflict):
            await index.drop(fresh.name)
        await index.drop(old)
        assert old not in {g.name for g in await index.generations()}
        assert await found(index, words("fever")) == {one.id}
        with pytest.raises(NotFound):
            await index.lexical(words("fever"), ANNA, limit=5, generation=old)

    async def test_a_name_stands_for_its_models(self, index: SearchIndex) -> None:
        name = await live(index)
        with pytest.raises(Conflict):
            await index.create(replace(generation(name), encoder="other@2"))
        held = {g.name: (g.encoder, g.dimension, g.analysis) for g in await index.generations()}
        assert held[name] == ("seeded@1", DIMENSION, "1")

    async def test_unknown_names_are_refused(self, index: SearchIndex) -> None:
        for act in (index.promote, index.drop):
            with pytest.raises(NotFound):
                await act("nowhere")
        with pytest.raises(Invalid):
            await index.create(generation('a"; DROP TABLE x'))

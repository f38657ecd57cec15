"""Which model a worker embeds by: that of the generation, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.embedders import BELIEVED_SECONDS, KEPT, MODEL_AWAY, Embedders
from domain.errors import Unavailable
from domain.search import Generation, GenerationState
from models.encoders import ModelUnavailable

OLD = Generation("g1", "old@1", 4, "1", GenerationState.LIVE)
NEW = Generation("g2", "new@1", 3, "1")


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


class Bench:
    """An index whose generations change, and models that are counted."""

    def __init__(self, *generations: Generation) -> None:
        self.there: list[Generation] | Unavailable = list(generations)
        self.loaded: list[str] = []
        self.now = 0.0
        self.asked = 0
        self.embedders = Embedders(self.generations, self.load, clock=lambda: self.now)

    async def generations(self) -> list[Generation]:
        self.asked += 1
        if isinstance(self.there, Unavailable):
            raise self.there
        return self.there

    def load(self, generation: Generation | None) -> Named:
        name = generation.encoder if generation else "settings@1"
        self.loaded.append(name)
        if name == "gone@1":
            raise ModelUnavailable("no such folder")
        return Named(name)

    async def by(self, name: str | None = None) -> str:
        self.now += BELIEVED_SECONDS
        return self.embedders.loaded(await self.embedders.wanted(name)).name


async def test_the_live_generations_model_or_the_named_ones() -> None:
    bench = Bench()
    assert await bench.by() == "settings@1"
    bench.there = [OLD, NEW]
    assert [await bench.by(), await bench.by("g2"), await bench.by("g1")] == ["old@1", "new@1", "old@1"]
    bench.there = [replace(OLD, state=GenerationState.RETIRED), replace(NEW, state=GenerationState.LIVE)]
    assert await bench.by() == "new@1"


async def test_as_last_known_while_the_index_is_away() -> None:
    bench = Bench(OLD, NEW)
    await bench.by()
    bench.there = Unavailable("away")
    assert (await bench.by(), await bench.by("g2")) == ("old@1", "new@1")
    with pytest.raises(Unavailable):
        await bench.by("g3")


async def test_the_settings_model_is_loaded_once_when_the_first_generation_is_of_it() -> None:
    bench = Bench()
    await bench.by()
    bench.there = [replace(OLD, encoder="settings@1")]
    assert [await bench.by(), await bench.by("g1")] == ["settings@1"] * 2
    assert bench.loaded == ["settings@1"]


async def test_the_index_is_asked_once_a_second_but_for_what_is_not_known() -> None:
    bench = Bench(OLD)
    await bench.by()
    assert await bench.embedders.wanted(None) == OLD
    assert bench.asked == 1
    bench.there = [OLD, NEW]
    assert await bench.embedders.wanted("g2") == NEW
    assert bench.asked == 2


async def test_two_models_stay_loaded() -> None:
    others = [replace(NEW, name=f"g{number}", encoder=f"e{number}@1") for number in range(3, 5)]
    bench = Bench(OLD, NEW, *others)
    for name in ("g1", "g2", "g1", "g2", "g3", "g2", "g4"):
        await bench.by(name)
    assert bench.loaded == ["old@1", "new@1", "e3@1", "e4@1"]
    await bench.by("g2")
    assert len(bench.loaded) == 4 == KEPT + 2


async def test_a_model_that_is_not_there_is_nobodys_failure() -> None:
    bench = Bench(OLD, replace(NEW, encoder="gone@1"))
    with pytest.raises(Unavailable) as away:
        await bench.by("g2")
    assert away.value.code == MODEL_AWAY
    assert await bench.by() == "old@1"

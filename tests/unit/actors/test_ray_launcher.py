"""What counts as the end of a worker, without a Ray: answers of an actor are laid out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RaySystemError, RpcError

from actors.remote import RayLauncher
from config.settings import Settings


class Actor:
    """Answers `ended.remote()` with what is laid out: an error, or its end."""

    def __init__(self, answers: Sequence[Exception | None]) -> None:
        self.answers = list(answers)
        self.ended = self

    async def remote(self) -> None:
        answer = self.answers.pop(0)
        if answer:
            raise answer


class Launcher(RayLauncher):
    """Finds `actor`, or nobody."""

    def __init__(self, settings: Settings, actor: Actor | None) -> None:
        super().__init__(settings, ask_again_seconds=0)
        self.actor = actor
        self.trouble: list[Exception] = []

    async def _find(self, name: str) -> Any | None:
        if self.trouble:
            raise self.trouble.pop()
        return self.actor


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.mark.parametrize("end", [None, ActorDiedError()])
async def test_an_actor_that_cannot_be_reached_is_asked_again_until_it_ends(settings, end):
    actor = Actor([ActorUnavailableError("lost", None), RpcError("reset"), end])
    launcher = Launcher(settings, actor)
    launcher.trouble.append(RaySystemError("no control store"))
    await launcher.ended("w")
    assert actor.answers == []


async def test_a_name_that_is_gone_is_the_end(settings):
    await Launcher(settings, None).ended("w")

"""The README shows what really happens: each command of its tour is run, its output compared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.tour import README, normalised, run, steps
from tests.platform import Platform, running_platform


@pytest.fixture(scope="module")
def demo() -> Iterator[Platform]:
    with running_platform(AUTH__DEMO_ACCOUNTS="true") as platform:
        yield platform


def test_tour_gives_the_shown_answers(demo: Platform) -> None:
    tour = list(steps(README.read_text()))
    assert len(tour) >= 5
    environment = {**demo.environment, "XDG_CONFIG_HOME": str(demo.settings.data_dir / "home")}
    for step in tour:
        assert normalised(run(step, environment)) == normalised(step.output), step.command


def test_readme_opens_with_the_two_commands() -> None:
    opening = README.read_text().split("```")[1]
    assert opening.splitlines()[1].startswith("make run")
    assert "make test" in opening

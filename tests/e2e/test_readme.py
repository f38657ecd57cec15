"""The README shows what really happens: each command of its tour is run, its output compared."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tour import README, Step, normalised, run, steps
from tests.platform import Platform, running_platform

Found = list[tuple[str, int, set[str], Any]]
"""Of each search: command, total, titles, facets."""


@pytest.fixture(scope="session")
def found_by_elasticsearch(elasticsearch_url: str, vocabulary_cache: Path) -> Found:
    """What the tour's searches find on a platform of its own, which is gone before another starts."""
    backend = {
        "SEARCH__BACKEND": "elasticsearch",
        "SEARCH__ELASTICSEARCH_URLS": json.dumps([elasticsearch_url]),
        "SEARCH__INDEX_PREFIX": "tour",
    }
    with running_platform(models=vocabulary_cache, AUTH__DEMO_ACCOUNTS="true", **backend) as platform:
        return found(platform)


@pytest.mark.elasticsearch
@pytest.mark.timeout(1800)
def test_elasticsearch_gives_the_same_documents_and_counts(
    found_by_elasticsearch: Found, untouched: Platform
) -> None:
    assert found_by_elasticsearch == found(untouched)


def test_tour_gives_the_shown_answers(untouched: Platform) -> None:
    tour = list(steps(README.read_text()))
    assert len(tour) >= 5
    environment = terminal(untouched)
    for step in tour:
        assert normalised(run(step, environment)) == normalised(step.output), step.command


def terminal(platform: Platform) -> Mapping[str, str]:
    """The environment of a terminal of its own, where nobody is logged in yet."""
    return {**platform.environment, "XDG_CONFIG_HOME": str(platform.settings.data_dir / "home")}


def found(platform: Platform) -> Found:
    """Of each search of the tour: total, titles and facets, whatever the order and however many are shown."""
    answers = []
    for step in steps(README.read_text()):
        if not step.command.startswith("medsearch search "):
            run(step, terminal(platform))
            continue
        words = shlex.split(step.command)
        command = shlex.join([*words, "--json", "--limit", "100", "--facet", "concept"])
        answer = json.loads(run(Step(command, ""), terminal(platform)))
        titles = {hit["title"] for hit in answer["hits"]}
        assert len(titles) == answer["total"]["value"] > 0, command
        facets = {
            name: {(one["value"], one.get("assertion"), one["count"]) for one in values}
            for name, values in answer["facets"].items()
        }
        answers.append((step.command, answer["total"]["value"], titles, facets))
    assert len(answers) >= 3
    return answers


def test_readme_opens_with_the_two_commands() -> None:
    opening = README.read_text().split("```")[1]
    assert opening.splitlines()[1].startswith("make run")
    assert "make test" in opening

"""Servers that tests of more than one folder need, and the lanes in which processes share the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from config.logs import configure_logging
from config.settings import LogSettings
from tests.elasticsearch import Missing, running_elasticsearch

PLATFORMS = ("cluster", "e2e")
"""Folders whose tests start whole platforms: one process runs them all, the others share the rest."""


SHARED = ("found_by_elasticsearch", "untouched", "shared_platform", "demo")
"""Fixtures of platforms that stay for the rest of their folder, in the order in which their tests come, last ones."""


START_AND_TEST_SECONDS = 900
"""The first test of a platform waits for its start."""


def pytest_configure() -> None:
    """Log as the platform does: an exception as structlog comes, drawn with its variables, takes seconds."""
    configure_logging(LogSettings(), component="tests", stream=sys.stderr)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one platform follow each other, in whatever order: one runs at a time.

    Who needs the compiled vocabulary comes first: others work while it is compiled.
    """

    def place(item: pytest.Item) -> tuple[str, int]:
        folder = item.path.parent.name
        if folder not in PLATFORMS:
            return "", "vocabulary_cache" not in item.fixturenames  # type: ignore[attr-defined]
        asked = [number for number, name in enumerate(SHARED, 1) if name in item.fixturenames]  # type: ignore[attr-defined]
        return folder, min(asked, default=0)

    items.sort(key=place)
    for item in items:
        if place(item)[0] and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_AND_TEST_SECONDS))


class Lanes(LoadScopeScheduling):
    """Hands out tests one by one, but those of `PLATFORMS` and of Elasticsearch all to one process."""

    def _split_scope(self, nodeid: str) -> str:
        large = (
            nodeid.split("/")[1] in PLATFORMS or "elasticsearch" in nodeid or "test_search_backends" in nodeid
        )
        return "servers" if large else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    return Lanes(config, log)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Values that differ from process to process do not name a test: all must collect the same ones."""
    return argname if isinstance(val, bytes | datetime) else None


@pytest.fixture(scope="session")
def vocabulary_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with vocabulary and index of the packaged terminologies, compiled once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    folder.mkdir(exist_ok=True)
    # In a process of its own, where no coverage is measured: that would double the minute that this takes.
    subprocess.run([sys.executable, "-m", "tests.compiled", str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """A real Elasticsearch; without Maven or a JDK its tests are skipped, but fail under CI.

    `MEDSEARCH_TEST_ELASTICSEARCH` names one that runs already.
    """
    running = os.environ.get("MEDSEARCH_TEST_ELASTICSEARCH")
    if running:
        yield running
        return
    try:
        with running_elasticsearch() as url:
            yield url
    except Missing as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))

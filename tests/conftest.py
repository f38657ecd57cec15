"""Servers that tests of more than one folder need, and the lanes in which processes share the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.elasticsearch import Missing, running_elasticsearch

PLATFORMS = ("cluster", "e2e")
"""Folders whose tests start whole platforms: one process runs them all, the others share the rest."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    for item in items:
        if item.path.relative_to(folder).parts[0] in PLATFORMS:
            item.add_marker(pytest.mark.xdist_group("platforms"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Values that differ from process to process do not name a test: all must collect the same ones."""
    return argname if isinstance(val, bytes | datetime) else None


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

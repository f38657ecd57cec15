"""Servers that tests of more than one folder need."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.elasticsearch import Missing, running_elasticsearch


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

"""Contract tests run against real servers, started once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from config.secrets import SecretStore
from config.settings import Settings
from tests.elasticsearch import Missing, running_elasticsearch
from tests.servers import Servers, running_servers

pytest.register_assert_rewrite("tests.contract.conformance")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with running_servers() as running:
        yield running


@pytest.fixture(scope="session")
def settings(servers: Servers) -> Settings:
    return servers.settings


@pytest.fixture(scope="session")
def secrets(servers: Servers) -> SecretStore:
    return servers.secrets


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

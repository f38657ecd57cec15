"""Contract tests run against real servers, started once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.secrets import SecretStore
from config.settings import Settings
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

"""The whole HTTP side, once a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from config.account_settings import AuthSettings, LoginSettings, PasswordSettings
from config.secrets import SecretStore
from config.settings import HttpSettings, Settings
from tests.contract.whole.platform import Whole, whole_platform


@pytest.fixture(scope="module")
async def whole(
    settings: Settings, secrets: SecretStore, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    """Cheap hashes; addresses must be verified; thousands of requests a minute are nothing unusual."""
    auth = AuthSettings(
        verify_email=True,
        password=PasswordSettings(argon2_memory_kib=64, argon2_time=1),
        login=LoginSettings(address_attempts=100_000, everybody_attempts=100_000),
    )
    roomy = settings.model_copy(update={"auth": auth, "http": HttpSettings(rate_limit_per_minute=1_000_000)})
    async with whole_platform(roomy, secrets, tmp_path_factory.mktemp("whole")) as running:
        yield running

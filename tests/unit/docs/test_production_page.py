"""docs/production.md: the settings that it shows, with the secrets that its command makes, are fit for production."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cluster.platform.launcher import NotFitForProduction, check_production
from cluster.platform.needed_secrets import given_secrets, make_secrets
from config.secrets import SecretStore
from config.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "production.md").read_text()


@pytest.fixture
def shown(tmp_path: Path) -> dict[str, Any]:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    folders = {name: str(tmp_path / name) for name in ("data_dir", "secrets_dir")}
    return tomllib.loads(block) | folders


def test_what_the_page_says_is_all_that_is_needed(shown: dict[str, Any]) -> None:
    settings = Settings.model_validate(shown)
    secrets = SecretStore(settings.secrets_path)
    with pytest.raises(NotFitForProduction, match="'postgres-owner' is missing"):
        check_production(settings, secrets)
    make_secrets(settings, secrets)
    with pytest.raises(NotFitForProduction, match=r"^[^\n]*\n  - the secret 'smtp' is missing [^\n]*$"):
        check_production(settings, secrets)
    assert given_secrets(settings) == ("smtp",)
    secrets.create("smtp", "given by the operator")
    check_production(settings, secrets)


@pytest.mark.parametrize(("group", "name"), [("http", "public_url"), ("mail", "host")])
def test_nothing_needed_can_be_left_out(shown: dict[str, Any], group: str, name: str) -> None:
    del shown[group][name]
    settings = Settings.model_validate(shown)
    with pytest.raises(NotFitForProduction, match=rf"{group}\.{name} must be set"):
        check_production(settings, SecretStore(settings.secrets_path))


def test_the_proxy_lets_through_what_the_platform_takes(shown: dict[str, Any]) -> None:
    http = Settings.model_validate(shown).http
    assert f"proxy_pass http://{http.host}:{http.port};" in PAGE
    assert f"client_max_body_size {http.body_limit_bytes // 2**20}m;" in PAGE
    assert f"proxy_read_timeout {http.transfer_timeout_seconds:.0f}s;" in PAGE

"""`medsearch keys` without servers: what it prints, what it refuses, what it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.__main__ import app
from config.secrets import SecretStore
from config.settings import Settings
from domain.keys import Purpose
from domain.tokens import PublicKeys
from stores.keyring import SecretKeys, fresh_secret


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    return Settings(data_dir=tmp_path)


@pytest.fixture
def keys(settings: Settings) -> SecretKeys:
    keys = SecretKeys.of(settings, SecretStore(settings.secrets_path))
    for purpose in Purpose:
        keys.list(purpose)
    return keys


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["keys", *arguments])
    return result.exit_code, result.output


def test_before_the_first_start_there_are_none_and_none_are_made(settings: Settings) -> None:
    code, said = run("list")
    assert (code, "no keys yet" in said) == (0, True)
    assert not settings.keyring_path.exists()


def test_a33_the_list_shows_names_and_places_but_no_secret(settings: Settings, keys: SecretKeys) -> None:
    rows = json.loads(run("list", "--json")[1])
    assert [(row["name"], row["state"]) for row in rows[:2]] == [
        ("auth-signing-key-2", "next"),
        ("auth-signing-key", "current"),
    ]
    printed = run("list")[1]
    secrets = SecretStore(settings.secrets_path)
    for row in rows:
        assert row["name"] in printed
        assert secrets.resolve(row["name"]).get_secret_value() not in printed + json.dumps(rows)


@pytest.mark.parametrize("purpose", Purpose)
def test_a_rotation_takes_the_next_key_into_use(keys: SecretKeys, purpose: Purpose) -> None:
    code, said = run("rotate", purpose.value, "--unrecorded")
    assert code == 0
    assert f"{purpose.value}-2 is in use now." in said
    assert f"{purpose.value} still counts " in said
    current = next(key for key in keys.list(purpose) if key.state == "current")
    assert current.name == f"{purpose.value}-2"


def test_nothing_is_rotated_while_it_cannot_be_recorded(settings: Settings, keys: SecretKeys) -> None:
    SecretStore(settings.secrets_path).ensure("postgres-audit")
    before = settings.keyring_path.read_bytes()
    for command in (("rotate", "auth-signing-key"), ("retire", "auth-signing-key")):
        code, said = run(*command)
        assert (code, "audit_db cannot be reached" in said) == (1, True)
    assert settings.keyring_path.read_bytes() == before


def test_a27_a_retired_key_is_gone_and_its_secret_is_named(settings: Settings, keys: SecretKeys) -> None:
    old = keys.signing(Purpose.TOKEN).kid
    code, said = run("retire", "auth-signing-key", "--unrecorded")
    assert (code, str(settings.secrets_path / "auth-signing-key") in said) == (0, True)
    assert old not in PublicKeys.parse(settings.jwks_path.read_bytes()).by_id
    assert run("retire", "no-such-key", "--unrecorded")[0] == 1


def test_in_production_the_missing_secret_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All secrets come from the environment, and the folder cannot be written."""
    monkeypatch.setenv("MEDSEARCH_PROFILE", "production")
    monkeypatch.setenv("MEDSEARCH_SECRETS_DIR", "/proc/1/no-such-folder")
    for name in ("AUDIT_FIELD_KEY", "AUTH_SIGNING_KEY", "AUTH_SIGNING_KEY_2"):
        purpose = Purpose.TOKEN if "SIGNING" in name else Purpose.AUDIT_FIELD
        monkeypatch.setenv(f"MEDSEARCH_SECRET_{name}", fresh_secret(purpose))
    code, said = run("rotate", "auth-signing-key", "--unrecorded")
    assert code == 0
    assert "auth-signing-key-2 is in use now." in said
    assert "Supply the secret 'auth-signing-key-3' (MEDSEARCH_SECRET_AUTH_SIGNING_KEY_3 or " in said
    code, said = run("rotate", "auth-signing-key", "--unrecorded")
    assert (code, "Secret 'auth-signing-key-3' is missing" in said) == (1, True)
    rows = json.loads(run("list", "--json")[1])
    assert [(row["name"], row["state"]) for row in rows if "signing" in row["name"]] == [
        ("auth-signing-key-2", "current"),
        ("auth-signing-key", "retired"),
    ]

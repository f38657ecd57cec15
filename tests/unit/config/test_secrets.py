"""Secrets by name: where they are looked for, how they are made, which were made."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.secrets import SecretMissing, SecretStore, variable


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("from file\n")
    store = SecretStore(tmp_path)
    assert store.resolve("redis", {}).get_secret_value() == "from file"
    assert store.resolve("redis", {"MEDSEARCH_SECRET_REDIS": "given"}).get_secret_value() == "given"
    assert store.origin("redis", {}) == str(tmp_path / "redis")
    assert store.origin("redis", {"MEDSEARCH_SECRET_REDIS": "given"}) == "MEDSEARCH_SECRET_REDIS"


def test_a_missing_secret_says_where_it_may_be_put(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="MEDSEARCH_SECRET_POSTGRES_AUTH") as raised:
        SecretStore(tmp_path).resolve("postgres-auth", {})
    assert str(tmp_path / "postgres-auth") in str(raised.value)
    assert SecretStore(tmp_path).origin("postgres-auth", {}) is None


def test_a_made_secret_is_private_lasting_and_known_as_made(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "secrets")
    made = store.ensure("edge-key").get_secret_value()
    assert len(made) >= 43  # 256 bits
    assert store.ensure("edge-key").get_secret_value() == made
    assert (tmp_path / "secrets" / "edge-key").stat().st_mode & 0o077 == 0
    assert store.is_generated("edge-key")
    assert store.names() == ["edge-key"]
    assert (store.origin("edge-key", {}) or "").endswith("(generated)")


def test_a_secret_that_a_person_wrote_is_not_taken_for_a_made_one(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    (tmp_path / "written").write_text("mine")
    assert store.ensure("written").get_secret_value() == "mine"
    assert not store.is_generated("written")
    store.ensure("replaced")
    (tmp_path / "replaced").write_text("mine now")
    assert not store.is_generated("replaced")


@pytest.mark.parametrize("name", ["", "../x", "UPPER", "with space", "-x", "a" * 64])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a secret's name"):
        variable(name)

"""The list of secrets is complete, and a set that was made on purpose satisfies production."""

from __future__ import annotations

from pathlib import Path

from cluster.platform.needed_secrets import (
    EDGE_KEY,
    given_secrets,
    make_secrets,
    needed_secrets,
    service_keys,
)
from config.production import production_problems
from config.secrets import SecretStore
from config.settings import Settings
from deployments.edge import cursors
from domain.keys import Purpose, Ring
from domain.tokens import SigningKey
from stores.keyring import SecretKeys
from stores.ring_file import RingFile

PRODUCTION = Settings.model_validate(
    {
        "profile": "production",
        "http": {"public_url": "https://search.hospital.example"},
        "mail": {"host": "smtp.hospital.example"},
    }
)


def test_the_keys_of_the_services_are_listed_by_the_names_that_they_use() -> None:
    assert cursors.KEY == EDGE_KEY
    assert service_keys(Ring()) == {*(purpose.value for purpose in Purpose), "auth-signing-key-2"}


def test_the_keys_that_are_needed_follow_the_ring(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    store = SecretStore(settings.secrets_path)
    keys = SecretKeys.of(settings, store)
    keys.rotate(Purpose.TOKEN)
    keys.rotate(Purpose.AUDIT_FIELD)
    wanted = {name for name in needed_secrets(settings) if Purpose.of(name)}
    assert wanted == {
        "account-field-key", "audit-field-key", "audit-field-key-2", "audit-head-key",
        "auth-signing-key-2", "auth-signing-key-3",
    }  # fmt: skip


def test_what_others_chose_is_asked_for_and_never_made(tmp_path: Path) -> None:
    provider = {"issuer": "https://login.hospital.example", "client_id": "medsearch"}
    settings = Settings.model_validate(
        {
            **PRODUCTION.model_dump(),
            "auth": {"oidc": {"hospital": provider}, "demo_accounts": False},
            "mail": {"host": "smtp.hospital.example", "username": "medsearch"},
        }
    )
    store = SecretStore(tmp_path)
    make_secrets(settings, store)
    needed, given = needed_secrets(settings), given_secrets(settings)
    assert given == ("oidc-hospital", "smtp")
    problems = production_problems(settings, store, needed, given)
    assert [name in problem for name, problem in zip(given, problems, strict=True)] == [True, True]
    for name in given:
        store.create(name, "short")
    assert production_problems(settings, store, needed, given) == []


def test_servers_of_ones_own_need_no_secret_of_the_embedded_ones() -> None:
    own = Settings.model_validate(
        {
            "postgres": {"url": "postgresql://db:5432"},
            "redis": {"url": "redis://r:6379"},
            "ray": {"auth": False},
        }
    )
    missing = set(needed_secrets(Settings())) - set(needed_secrets(own))
    assert missing == {"postgres-superuser", "redis", "ray-token"}


def test_a_made_set_is_complete_fit_for_production_and_made_once(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    made = make_secrets(PRODUCTION, store)
    assert made == list(needed_secrets(PRODUCTION)) == store.names()
    assert production_problems(PRODUCTION, store, needed_secrets(PRODUCTION)) == []
    assert SigningKey.parse(store.resolve(Purpose.TOKEN).get_secret_value())
    assert make_secrets(PRODUCTION, store) == []


def test_a_key_that_a_rotation_could_not_make_is_made_on_purpose(tmp_path: Path) -> None:
    """Secrets are given from outside: after a rotation there is no next key until somebody supplies it."""
    settings = Settings(data_dir=tmp_path / "data", secrets_dir=tmp_path / "given")
    make_secrets(settings, SecretStore(settings.secrets_path))
    keys = SecretKeys.of(settings, SecretStore(settings.secrets_path))
    ring = RingFile(settings.keyring_path)
    keys.rotate(Purpose.TOKEN)
    with ring.locked() as turned:
        ring.write(turned.without("auth-signing-key-3"))
    make_secrets(settings, SecretStore(tmp_path / "copy"))
    assert "auth-signing-key-3" in SecretStore(tmp_path / "copy").names()
    assert "auth-signing-key-3" not in needed_secrets(settings)

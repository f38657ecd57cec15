"""The list of secrets is complete, and a set that was made on purpose satisfies production."""

from __future__ import annotations

from pathlib import Path

from cluster.platform.needed_secrets import SERVICE_KEYS, make_secrets, needed_secrets
from config.production import production_problems
from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth import signing
from deployments.edge import cursors
from domain.tokens import SigningKey
from stores import audit

PRODUCTION = Settings.model_validate(
    {"profile": "production", "http": {"public_url": "https://search.hospital.example"}}
)


def test_the_keys_of_the_services_are_listed_by_the_names_that_they_use() -> None:
    assert set(SERVICE_KEYS) == {audit.FIELD_KEY, signing.KEY, cursors.KEY}


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
    assert SigningKey.parse(store.resolve(signing.KEY).get_secret_value())
    assert make_secrets(PRODUCTION, store) == []

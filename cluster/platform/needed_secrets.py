"""The secrets that a platform uses: `medsearch config` lists them, production insists on them."""

from __future__ import annotations

from cluster.databases import OWNER, READERS
from cluster.platform.ray_node import TOKEN_SECRET
from cluster.servers.postgres import SUPERUSER_SECRET
from cluster.servers.redis import SECRET as REDIS_SECRET
from config.secrets import SecretStore, fresh_value
from config.settings import SERVICES, Settings

SIGNING_KEY = "auth-signing-key"
SERVICE_KEYS = ("audit-field-key", SIGNING_KEY, "edge-key")
"""Keys that the applications resolve by these names."""


def needed_secrets(settings: Settings) -> tuple[str, ...]:
    """Names, sorted: database accounts, Redis, Ray, and the keys of the services."""
    names = {f"postgres-{account}" for account in (OWNER, *SERVICES, *READERS)}.union(SERVICE_KEYS)
    if settings.postgres.url is None:
        names.add(SUPERUSER_SECRET)
    if settings.redis.url is None:
        names.add(REDIS_SECRET)
    if settings.ray.auth:
        names.add(TOKEN_SECRET)
    return tuple(sorted(names))


def make_secrets(settings: Settings, store: SecretStore) -> list[str]:
    """Make, on purpose, those that are missing in the store's folder; returns their names."""
    return [name for name in needed_secrets(settings) if store.create(name, _value(name))]


def _value(name: str) -> str:
    if name != SIGNING_KEY:
        return fresh_value()
    from domain.tokens import SigningKey

    return SigningKey.generate().to_secret()

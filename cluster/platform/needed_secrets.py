"""The secrets that a platform uses: `medsearch config` lists them, production insists on them."""

from __future__ import annotations

from cluster.databases import OWNER, READERS
from cluster.platform.ray_node import TOKEN_SECRET
from cluster.servers.postgres import SUPERUSER_SECRET
from cluster.servers.redis import SECRET as REDIS_SECRET
from config.secrets import SecretStore, fresh_value
from config.settings import SERVICES, Settings
from domain.keys import KeyState, Purpose, Ring
from stores.keyring import fresh_secret
from stores.mail.smtp import PASSWORD as SMTP_SECRET
from stores.ring_file import RingFile

EDGE_KEY = "edge-key"


def needed_secrets(settings: Settings) -> tuple[str, ...]:
    """Names, sorted: database accounts, Redis, Ray, and the keys of the services.

    Raises `KeyringDamaged` when the file that says which keys are in use cannot be read.
    """
    names = {f"postgres-{account}" for account in (OWNER, *SERVICES, *READERS)} | {EDGE_KEY}
    names |= service_keys(RingFile(settings.keyring_path).read())
    if settings.postgres.url is None:
        names.add(SUPERUSER_SECRET)
    if settings.redis.url is None:
        names.add(REDIS_SECRET)
    if settings.ray.auth:
        names.add(TOKEN_SECRET)
    return tuple(sorted(names))


def service_keys(ring: Ring) -> set[str]:
    """Names of keys that must be there: those in use, and retired ones under which something is sealed."""
    names = set()
    for purpose in Purpose:
        used = [key for key in ring.of(purpose) if purpose.lasts or key.state is not KeyState.RETIRED]
        names |= {key.name for key in used} or {purpose.name_of(1)}
    if not ring.of(Purpose.TOKEN):
        names.add(Purpose.TOKEN.name_of(2))  # published from the start, so that a rotation surprises nobody
    return names


def given_secrets(settings: Settings) -> tuple[str, ...]:
    """Names, sorted, of secrets that others chose: of the SMTP server, of login providers."""
    names = {f"oidc-{name}" for name in settings.auth.oidc}
    if settings.mail.host and settings.mail.username:
        names.add(SMTP_SECRET)
    return tuple(sorted(names))


def make_secrets(settings: Settings, store: SecretStore) -> list[str]:
    """Make, on purpose, those that are missing in the store's folder; returns their names."""
    names = {*needed_secrets(settings), *_coming(RingFile(settings.keyring_path).read())}
    return [name for name in sorted(names) if store.create(name, _value(name))]


def _coming(ring: Ring) -> set[str]:
    """The token key to rotate to, where a rotation could not make it: nothing stops without it yet."""
    known = ring.of(Purpose.TOKEN)
    if not known or ring.one(Purpose.TOKEN, KeyState.NEXT):
        return set()
    return {Purpose.TOKEN.name_of(ring.fresh_number(Purpose.TOKEN))}


def _value(name: str) -> str:
    purpose = Purpose.of(name)
    return fresh_secret(purpose) if purpose else fresh_value()

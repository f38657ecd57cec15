"""The secrets that a platform uses, so that `medsearch config` can list them and production can insist on
them.
"""

from __future__ import annotations

from cluster.databases import OWNER, READERS
from cluster.platform.ray_node import TOKEN_SECRET
from cluster.servers.postgres import SUPERUSER_SECRET
from cluster.servers.redis import SECRET as REDIS_SECRET
from config.settings import SERVICES, Settings


def needed_secrets(settings: Settings) -> tuple[str, ...]:
    """Names, sorted. Database accounts, Redis, Ray, and the keys of the services."""
    names = {f"postgres-{account}" for account in (OWNER, *SERVICES, *READERS)}
    if settings.postgres.url is None:
        names.add(SUPERUSER_SECRET)
    if settings.redis.url is None:
        names.add(REDIS_SECRET)
    if settings.ray.auth:
        names.add(TOKEN_SECRET)
    return tuple(sorted(names))

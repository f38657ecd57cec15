"""Bootstrap of the databases: from whatever is there to the current roles, databases and schemas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from cluster import databases
from cluster.servers import postgres
from config.secrets import SecretStore
from config.settings import SERVICES, Settings
from domain.errors import MedsearchError


class MigrationFailed(MedsearchError):
    """A migration does not run, or its database cannot be reached."""

    code = "platform.migration"


async def prepare(settings: Settings, secrets: SecretStore) -> None:
    """Roles, databases and extensions where we may make them; migrations everywhere.

    On a server of one's own they are made when the secret `postgres-superuser` is given; the account is the URL's
    (`postgresql://admin@host:port`), or `postgres`. Otherwise they must be there already.
    """
    if settings.postgres.url is None or _given(secrets):
        await _bootstrap(settings, secrets)
    for service in SERVICES:
        try:
            await databases.migrate(settings, secrets, service)
        except (SQLAlchemyError, OSError) as error:
            reason = str(getattr(error, "orig", error)).strip()
            raise MigrationFailed(
                f"The schema of {service}_db cannot be brought up to date: {reason}"
            ) from error


def _given(secrets: SecretStore) -> bool:
    """Whether a person gave the superuser's password; a generated one belongs to the embedded server."""
    name = postgres.SUPERUSER_SECRET
    return secrets.find(name) is not None and not secrets.is_generated(name)


async def _bootstrap(settings: Settings, secrets: SecretStore) -> None:
    try:
        await make_databases(settings, secrets)
    except (OSError, asyncpg.PostgresError) as error:
        raise MigrationFailed(f"Roles and databases cannot be made: {error}") from error


async def make_databases(settings: Settings, secrets: SecretStore) -> None:
    """Roles, databases and extensions on a server that answers, as far as they are missing."""
    async with superuser(settings, secrets, "postgres") as admin:
        await databases.bootstrap(settings, secrets, admin)
    async with superuser(settings, secrets, "search_db") as search:
        await databases.install_extensions(search)


@asynccontextmanager
async def superuser(
    settings: Settings, secrets: SecretStore, database: str
) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, to the embedded server or to the one of the URL."""
    connection = await postgres.connect(settings, secrets, database)
    try:
        yield connection
    finally:
        await connection.close()

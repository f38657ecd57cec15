"""Bootstrap of the databases: from whatever is there to the current roles, databases and schemas."""

from __future__ import annotations

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
    """Roles, databases and extensions of the embedded server; migrations everywhere."""
    if settings.postgres.url is None:
        await _bootstrap(settings, secrets)
    for service in SERVICES:
        try:
            await databases.migrate(settings, secrets, service)
        except (SQLAlchemyError, OSError) as error:
            reason = str(getattr(error, "orig", error)).strip()
            raise MigrationFailed(
                f"The schema of {service}_db cannot be brought up to date: {reason}"
            ) from error


async def _bootstrap(settings: Settings, secrets: SecretStore) -> None:
    admin = await postgres.connect(settings, secrets, "postgres")
    try:
        await databases.bootstrap(settings, secrets, admin)
    finally:
        await admin.close()
    search = await postgres.connect(settings, secrets, "search_db")
    try:
        await databases.install_extensions(search)
    finally:
        await search.close()

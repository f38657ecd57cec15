"""Databases, roles and migrations: from an empty Postgres server to the current schema, and again without
harm.

One alembic history a service (`cluster/migrations/SERVICE/NNNN_title.py`, SQL by `op.execute`). Tables belong
to `medsearch_owner`; a service's role gets what its migrations grant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from config.secrets import SecretStore
from config.settings import SERVICES, Service, Settings
from stores.postgres import database

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
OWNER = "owner"
READERS: dict[str, Service] = {
    "api-key-reader": "auth",
    "audit-reader": "audit",
    "audit-sealer": "audit",
    "document-reader": "document",
    "session-reader": "auth",
}
"""Roles besides the services' own.

Three may read exactly one published view (schema `api`) each; one reads the audit trail; one reads its records
and adds to their chain.
"""


async def bootstrap(settings: Settings, secrets: SecretStore, admin: asyncpg.Connection) -> None:
    """Create roles and databases that are missing and set the roles' passwords.

    `admin` must be a superuser.
    """
    for account in (OWNER, *SERVICES, *READERS):
        role = "medsearch_" + account.replace("-", "_")
        password = secrets.ensure(f"postgres-{account}").get_secret_value()
        if not await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            await admin.execute(f"CREATE ROLE {role} LOGIN")
        quoted = await admin.fetchval("SELECT quote_literal($1::text)", password)
        await admin.execute(f"ALTER ROLE {role} PASSWORD {quoted}")
    for service in SERVICES:
        if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", f"{service}_db"):
            await admin.execute(f"CREATE DATABASE {service}_db OWNER medsearch_owner")
        await admin.execute(f"REVOKE CONNECT ON DATABASE {service}_db FROM PUBLIC")
        readers = [account for account, owner in READERS.items() if owner == service]
        for account in (service, *readers):
            await admin.execute(
                f"GRANT CONNECT ON DATABASE {service}_db TO medsearch_{account.replace('-', '_')}"
            )


async def install_extensions(search_admin: asyncpg.Connection) -> None:
    """What only a superuser may install: pgvector in `search_db`."""
    await search_admin.execute("CREATE EXTENSION IF NOT EXISTS vector")


async def migrate(
    settings: Settings, secrets: SecretStore, service: Service, *, revision: str = "head"
) -> None:
    """Bring one database to the newest schema (or up to `revision`); an advisory lock makes parallel calls wait for each other."""
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import create_async_engine

    target = database(settings, service, OWNER)
    url = URL.create(
        "postgresql+asyncpg",
        username=target.user,
        password=secrets.resolve(target.secret).get_secret_value(),
        database=target.name,
        query={"host": target.host, "port": str(target.port)},
    )
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, service, revision)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, service: Service, revision: str) -> None:
    from alembic import command as alembic
    from alembic.config import Config

    configuration = Config(attributes={"connection": connection})
    configuration.set_main_option("path_separator", "os")
    configuration.set_main_option("script_location", str(MIGRATIONS))
    configuration.set_main_option("version_locations", str(MIGRATIONS / service))
    alembic.upgrade(configuration, revision)

"""Connections to the service databases: one role a service, a password by name, small pools.

`asyncpg` directly; a pool opens connections when they are needed (`min_size=0`) so that it can be built while
the server is away, and heals by itself when the server comes back.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import asyncpg

from config.runtime import socket_dir
from config.secrets import SecretStore
from config.settings import Service, Settings
from domain.errors import StorageFull, Unavailable

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionRollbackError,
    asyncpg.QueryCanceledError,
)
"""What asyncpg raises when the server, not the statement, is the trouble (but see `unreachable`)."""

GIVEN_UP = (asyncpg.TransactionRollbackError, asyncpg.QueryCanceledError)
"""Those of them that go by at once: a deadlock's victim, a failed serialization, a cancelled statement."""


def unreachable(error: BaseException) -> bool:
    """Whether the server is the trouble; an argument of the wrong kind is an `InterfaceError` but ours."""
    return isinstance(error, UNREACHABLE) and not isinstance(error, ValueError)


SILENCE_SECONDS = 60.0
"""After so long without a word within a transaction the server ends it: a frozen process keeps no row locked."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where a database is and who connects; the password is only a secret's name."""

    host: str
    port: int
    name: str
    user: str
    secret: str


def database(settings: Settings, service: Service, role: str | None = None) -> Database:
    """The database of `service`, as its own role or as a published view's reader.

    `role` is for instance `document-reader`: user `medsearch_document_reader`, secret
    `postgres-document-reader`.
    """
    account = role or service
    url = settings.postgres.urls.get(service) or settings.postgres.url
    parts = urlsplit(url) if url else None
    return Database(
        host=(parts.hostname or "localhost") if parts else str(socket_dir(settings)),
        port=(parts.port if parts else None) or 5432,
        name=f"{service}_db",
        user="medsearch_" + account.replace("-", "_"),
        secret=f"postgres-{account}",
    )


async def connect(target: Database, secrets: SecretStore, *, timeout: float = 5) -> asyncpg.Connection:
    """A connection of its own (advisory locks, LISTEN), not from a pool."""
    try:
        connection = await asyncpg.connect(
            host=target.host,
            port=target.port,
            user=target.user,
            database=target.name,
            password=secrets.resolve(target.secret).get_secret_value(),
            timeout=timeout,
        )
    except UNREACHABLE as error:
        raise _unavailable(target, error) from error
    try:
        await _prepare(connection)
    except BaseException:  # also cancelled: nobody would close it
        connection.terminate()
        raise
    return connection


class Postgres:
    """A lazily opened pool of one database. Server trouble surfaces as `Unavailable` (a full disk as its kind
    `StorageFull`), nothing else.
    """

    def __init__(
        self,
        target: Database,
        secrets: SecretStore,
        *,
        size: int = 4,
        connect_timeout: float = 5,
        command_timeout: float = 15,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self.target = target
        self._secrets = secrets
        self._size = size
        self._connect_timeout = connect_timeout
        self._command_timeout = command_timeout
        self._session = {"idle_in_transaction_session_timeout": str(round(silence * 1000))}
        self._pool: asyncpg.Pool | None = None

    @classmethod
    def of(
        cls, settings: Settings, secrets: SecretStore, service: Service, role: str | None = None
    ) -> Postgres:
        limits = settings.postgres
        return cls(
            database(settings, service, role),
            secrets,
            size=limits.pool_max,
            connect_timeout=limits.connect_timeout_seconds,
            command_timeout=limits.command_timeout_seconds,
        )

    def tuned(self, **session: str) -> Postgres:
        """The same database by a pool of its own, whose connections have these settings of the server."""
        other = copy(self)
        other._pool, other._session = None, {**self._session, **session}  # noqa: SLF001 - our own kind
        return other

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection outside a transaction."""
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=self._connect_timeout) as connection:
                yield cast("asyncpg.Connection", connection)
        except Exception as error:
            if unreachable(error):
                raise _unavailable(self.target, error) from error
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection inside a transaction, committed when the block ends well."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _opened(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                host=self.target.host,
                port=self.target.port,
                user=self.target.user,
                database=self.target.name,
                password=self._secrets.resolve(self.target.secret).get_secret_value(),
                min_size=0,
                max_size=self._size,
                timeout=self._connect_timeout,
                command_timeout=self._command_timeout,
                server_settings=self._session,
                init=_prepare,
            )
        return self._pool


async def _prepare(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=_dump, decoder=json.loads, schema="pg_catalog")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _unavailable(target: Database, error: BaseException) -> Unavailable:
    if isinstance(error, asyncpg.DiskFullError):
        return StorageFull(f"There is no room left in the database {target.name}. Try again later.")
    return Unavailable(
        f"The database {target.name} cannot be reached ({type(error).__name__}). Try again in a moment.",
        code="store.postgres_unavailable",
        retry_after=1 if isinstance(error, GIVEN_UP) else 2,
    )

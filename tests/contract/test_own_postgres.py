"""A Postgres of one's own in place of the embedded one: the URL says where, the superuser's password is a secret."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cluster.platform import schemas
from cluster.platform.schemas import MigrationFailed
from cluster.servers import postgres, unprivileged
from config.secrets import SecretStore
from config.settings import SERVICES, Settings
from stores.postgres import Postgres
from tests.platform import free_ports
from tests.servers import server_folder


@dataclass(frozen=True)
class OwnServer:
    settings: Settings
    secrets: SecretStore


def start(elsewhere: Settings, port: int) -> subprocess.Popen[bytes]:
    options = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
    argv = [str(postgres.BINARIES / "postgres"), "-D", str(postgres.data_folder(elsewhere))]
    argv += [part for option in options for part in ("-c", option)]
    return subprocess.Popen(unprivileged.command(argv), stderr=subprocess.DEVNULL, env={"PATH": os.defpath})


@pytest.fixture
async def server() -> Iterator[OwnServer]:
    """A server on a TCP port; the platform's own data folder is another and empty."""
    folder = server_folder("ms-own-")
    elsewhere = Settings(data_dir=folder / "server")
    admin = SecretStore(folder / "admin")
    elsewhere.data_dir.mkdir()
    postgres.prepare(elsewhere, admin)
    (port,) = free_ports(1)
    process = start(elsewhere, port)
    settings = Settings.model_validate(
        {"data_dir": folder / "data", "postgres": {"url": f"postgresql://postgres@127.0.0.1:{port}"}}
    )
    secrets = SecretStore(settings.secrets_path)
    secrets.create(postgres.SUPERUSER_SECRET, admin.resolve(postgres.SUPERUSER_SECRET).get_secret_value())
    await postgres.wait_until_ready(settings, secrets)
    try:
        yield OwnServer(settings, secrets)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        shutil.rmtree(folder)


async def test_it_gets_the_same_roles_databases_and_schemas(server: OwnServer) -> None:
    for _ in range(2):  # and again without harm
        await schemas.prepare(server.settings, server.secrets)
    for service in SERVICES:
        db = Postgres.of(server.settings, server.secrets, service)
        async with db.connection() as connection:
            assert await connection.fetchval("SELECT current_user") == f"medsearch_{service}"
        await db.close()


async def test_without_the_superuser_everything_must_be_there_already(server: OwnServer) -> None:
    await schemas.prepare(server.settings, server.secrets)
    (server.secrets.folder / postgres.SUPERUSER_SECRET).unlink()
    await schemas.prepare(server.settings, server.secrets)
    assert server.secrets.find(postgres.SUPERUSER_SECRET) is None


async def test_a_wrong_superuser_is_told_without_the_password(server: OwnServer) -> None:
    (server.secrets.folder / postgres.SUPERUSER_SECRET).write_text("not the password")
    with pytest.raises(MigrationFailed) as raised:
        await schemas.prepare(server.settings, server.secrets)
    assert "Roles and databases cannot be made" in raised.value.message
    assert "not the password" not in raised.value.message

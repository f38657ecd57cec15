"""A whole platform for tests, started as a user would: `medsearch up` on a fresh folder and free ports."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import yaml

from cluster.platform import ownership, state
from cluster.platform.layout import Layout
from cluster.platform.ray_node import free_port
from cluster.platform.serve_api import CONFIG
from cluster.platform.state import PlatformState
from config.loading import load_settings
from config.secrets import SecretStore
from config.settings import Settings
from tests.servers import server_folder

T = TypeVar("T")

START_SECONDS = 600
STOP_SECONDS = 20
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


@dataclass
class Platform:
    """A running platform: what its code needs to reach it, and hands on its processes."""

    environment: dict[str, str]
    settings: Settings
    secrets: SecretStore
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def base_url(self) -> str:
        return self.settings.origin

    @property
    def layout(self) -> Layout:
        return Layout.of(self.settings)

    @property
    def state(self) -> PlatformState:
        found = state.read(self.layout.state)
        assert found is not None, self.output.read_text()
        return found

    @property
    def pids(self) -> dict[str, int]:
        """`supervisor`, `postgres`, `redis`, `ray` (the parent of Ray's processes)."""
        return {"supervisor": self.process.pid, **self.state.servers}

    def processes(self, part: str | None = None) -> list[psutil.Process]:
        """Everything that belongs to the platform, or to one of its servers, but for the supervisor."""
        return ownership.owned(self.settings.data_dir, part=part)

    def ray_process(self, title: str) -> psutil.Process:
        """The one process of Ray whose title contains `title`, such as `ray::ProxyActor`."""
        found = [process for process in self.processes("ray") if title in (process.cmdline() or [""])[0]]
        assert len(found) == 1, (title, [process.cmdline()[:1] for process in found])
        return found[0]

    def medsearch(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the command line against this platform."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "cluster.cli", *arguments],
            env=self.environment,
            cwd=self.settings.data_dir,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def serve_api(self, method: str, path: str, *, token: bool = True, **options: Any) -> httpx.Response:
        """A call of Ray's dashboard."""
        headers = {"Authorization": f"Bearer {self.layout.ray_token.read_text()}"} if token else {}
        address = f"http://127.0.0.1:{self.settings.ray.dashboard_port}"
        return httpx.request(method, address + path, headers=headers, timeout=60, trust_env=False, **options)

    def listening(self) -> list[tuple[str, int]]:
        """Address and port of every listening socket of every process, the supervisor's too."""
        connections = [
            connection
            for process in [psutil.Process(self.process.pid), *self.processes()]
            for connection in process.net_connections("inet")
        ]
        return [
            (one.laddr.ip, one.laddr.port)
            for one in connections
            if one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr)
        ]

    def readable(self) -> str:
        """What others might read: arguments of the processes, all logs, what Serve's REST API answers."""
        arguments = [" ".join(process.cmdline()) for process in self.processes()]
        logs = [
            path.read_text(errors="replace")
            for folder in (self.layout.logs, self.layout.ray / "session_latest" / "logs")
            for path in folder.rglob("*")
            if path.is_file()
        ]
        served = self.serve_api("GET", "/api/serve/applications/").text
        return "\n".join([*arguments, *logs, served, self.output.read_text()])

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        until(self._is_ready, seconds, lambda: f"{state.read(self.layout.state)}\n{self.output.read_text()}")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"the platform ended:\n{self.output.read_text()}"
        found = state.read(self.layout.state)  # at first perhaps that of an earlier supervisor
        return found is not None and found.pid == self.process.pid and found.phase == "ready"


@contextmanager
def running_platform(
    serve_config: Path = CONFIG, *, models: Path | None = None, **settings: str
) -> Iterator[Platform]:
    """Start, wait until ready, stop, check that no process is left, remove the folder.

    `settings` are environment variables without prefix: `PROCESSING__LEASE_SECONDS="3"`. With `models`, a folder
    where a vocabulary was compiled, the platform need not do that.
    """
    folder = server_folder("ms-")
    if models:
        (folder / "data").mkdir(mode=0o700)
        (folder / "data" / "models").symlink_to(models)
    platform = start_platform(folder / "data", serve_config, **settings)
    try:
        platform.wait_ready()
        yield platform
    finally:
        stop_platform(platform)
        left = platform.processes()
        ownership.kill(left)
        shutil.rmtree(folder)
    assert not left, [process.cmdline() for process in left]


def only(folder: Path, application: str) -> Path:
    """`serve_config.yaml` with one of its applications."""
    config = yaml.safe_load(CONFIG.read_text())
    config["applications"] = [one for one in config["applications"] if one["name"] == application]
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def start_platform(data_dir: Path, serve_config: Path = CONFIG, **settings: str) -> Platform:
    """`medsearch up` in a process of its own; not yet ready."""
    environment = platform_environment(data_dir, **settings)
    loaded = load_settings(environment).settings
    data_dir.mkdir(parents=True, exist_ok=True)
    output = data_dir / "up.log"
    with output.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cluster.cli", "up", "--serve-config", str(serve_config)],
            env=environment,
            cwd=data_dir,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    return Platform(environment, loaded, SecretStore(loaded.secrets_path), process, output)


def stop_platform(platform: Platform) -> None:
    """SIGTERM, and the time that the platform promises; then the end of everything."""
    platform.process.terminate()
    try:
        platform.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        platform.process.kill()
        platform.process.wait()
        ownership.kill(platform.processes())
        raise


def platform_environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """A clean environment: no settings of the developer, free ports, a small object store, no demo."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEDSEARCH_")}
    http, gcs, dashboard = free_ports(3)
    defaults = {
        "DATA_DIR": str(data_dir),
        "HTTP__PORT": str(http),
        "RAY__GCS_PORT": str(gcs),
        "RAY__DASHBOARD_PORT": str(dashboard),
        "RAY__OBJECT_STORE_BYTES": str(100 * 1024 * 1024),
        "AUTH__DEMO_ACCOUNTS": "false",
    }
    if inherited.pop(
        NO_BYTECODE, ""
    ):  # Ray imports the same in 20 processes: with this a start takes half the time
        inherited["PYTHONPYCACHEPREFIX"] = str(Path(sys.prefix) / "bytecode")
    ours = {f"MEDSEARCH_{name}": value for name, value in {**defaults, **settings}.items()}
    return {**inherited, "MEDSEARCH_CONFIG": "", **ours}


def is_loopback(ip: str) -> bool:
    """Also for IPv4 in the clothes of IPv6."""
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listened on a moment ago."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[free_port()] = None
    return list(found)


def until(true: Callable[[], T], seconds: float, otherwise: Callable[[], object] = str) -> T:
    """Ask again and again; returns the first true answer, or fails with what `otherwise` says."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)
    return answer

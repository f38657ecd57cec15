"""`medsearch doctor`: what of this machine could keep the platform from working, and what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from actors.parser import network_isolation
from cluster.platform.identity import ForeignPackage, check_packages
from cluster.platform.ports import needed_ports
from cluster.platform.ray_node import SHARED_MEMORY
from cluster.servers import postgres, redis
from config.settings import Settings

GIB = 1024**3
LEAST_MEMORY = 6 * GIB
"""With two workers of a gibibyte each (docs/benchmarks.md)."""
LEAST_DISK = 5 * GIB
PACKAGES = ("ray", "fastapi", "asyncpg", "torch", "tantivy")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `level` is ok, note (something is less than it could be) or problem."""

    subject: str
    level: str
    message: str


def examine(settings: Settings, *, running: bool) -> list[Finding]:
    """Everything; ports and memory are only judged when no platform of ours has taken its share."""
    return [
        *([] if running else _ports(settings)),
        _memory(0 if running else LEAST_MEMORY),
        _shared_memory(settings),
        _disk(settings),
        _open_files(),
        *_versions(),
        _packages(),
        _root(),
        _binaries(settings),
        _lifeline(),
        network_namespace(),
        _java(),
    ]


def _ports(settings: Settings) -> Iterator[Finding]:
    for needed in needed_ports(settings):
        if needed.free:
            yield Finding(f"port {needed.port}", "ok", f"free for {needed.purpose}")
        else:
            yield Finding(f"port {needed.port}", "problem", f"taken: choose another for {needed.setting}")


def _memory(least: int) -> Finding:
    memory = psutil.virtual_memory()
    text = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB available"
    if memory.available < least:
        return Finding("memory", "problem", f"{text}; {least / GIB:.0f} GiB are needed: end other programs")
    return Finding("memory", "ok", text)


def _shared_memory(settings: Settings) -> Finding:
    if not SHARED_MEMORY.is_dir():
        return Finding("shared memory", "note", f"no {SHARED_MEMORY}: Ray uses slower files")
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < settings.ray.object_store_bytes:
        return Finding(
            "shared memory",
            "note",
            f"{free / GIB:.2f} GiB: lower ray.object_store_bytes or enlarge {SHARED_MEMORY}",
        )
    return Finding("shared memory", "ok", f"{free / GIB:.1f} GiB free")


def _disk(settings: Settings) -> Finding:
    folder = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB free at {settings.data_dir}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "problem", f"{folder} cannot be written: set data_dir to a folder of yours")
    if free < LEAST_DISK:
        return Finding(
            "disk", "problem", f"{text}; {LEAST_DISK / GIB:.0f} GiB are needed: set data_dir to a larger disk"
        )
    return Finding("disk", "ok", text)


def _open_files() -> Finding:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        return Finding("open files", "note", f"{soft}: raise with 'ulimit -n 65536' for many connections")
    return Finding("open files", "ok", str(soft))


def _versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok" if sys.version_info >= (3, 11) else "problem", python)
    for package in PACKAGES:
        yield Finding(package, "ok", version(package))


def _packages() -> Finding:
    try:
        check_packages()
    except ForeignPackage as error:
        return Finding("packages", "problem", error.message)
    return Finding("packages", "ok", "config, models, ... are ours")


def _root() -> Finding:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return Finding(
            "user",
            "problem",
            "root, and Postgres refuses that: install util-linux (setpriv) or use a plain user",
        )
    return Finding("user", "ok", "root (Postgres runs as nobody)" if os.geteuid() == 0 else "plain user")


def _binaries(settings: Settings) -> Finding:
    wanted = [] if settings.postgres.url else [postgres.BINARIES / "postgres"]
    wanted += [] if settings.redis.url else [redis.binary()]
    for binary in wanted:
        if subprocess.run([binary, "--version"], capture_output=True, check=False).returncode:
            return Finding(
                "embedded servers",
                "problem",
                f"{binary} does not run here: set postgres.url and redis.url instead",
            )
    return Finding("embedded servers", "ok", "Postgres and Redis run here")


def _lifeline() -> Finding:
    if shutil.which("setpriv") is None:
        return Finding(
            "supervision", "note", "no setpriv: after a kill -9, servers stay until the next 'medsearch up'"
        )
    return Finding("supervision", "ok", "servers end with their supervisor")


def network_namespace(isolated: Callable[[], bool] = network_isolation) -> Finding:
    """Parsers run without a network where the system lets them: found out as a parser would."""
    if isolated():
        return Finding("sandbox", "ok", "parsers get a network namespace of their own")
    return Finding(
        "sandbox",
        "note",
        "no network namespaces: parsers are limited in memory and time, but not cut off the network",
    )


def _java() -> Finding:
    installed = sorted(map(str, Path("/usr/lib/jvm").glob("*/bin/java")))
    found = installed or [java for java in [shutil.which("java")] if java]
    if not found:
        return Finding("java", "note", "none: only needed for the Elasticsearch tests (JDK 21 or newer)")
    return Finding("java", "ok", ", ".join(found))

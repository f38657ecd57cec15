"""Keeps one server alive: starts it, notices its death, clears its remains, starts it again with back-off."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.platform import ownership
from cluster.platform.ownership import Session
from domain.errors import MedsearchError

BACKOFF = (0.2, 1, 2, 5, 15)
HEALTH_PERIOD = 2
STABLE_SECONDS = 60
"""Alive for this long, a server's earlier deaths are forgotten."""


class ServerFailed(MedsearchError):
    """A server ended while it was starting."""

    code = "platform.server"


@dataclass(frozen=True, slots=True)
class Server:
    """How a server is run.

    `ready` returns when it can be used, or raises; `healthy` is asked while it runs.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    ready: Callable[[], Awaitable[None]]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 5
    healthy: Callable[[], Awaitable[bool]] | None = None
    health_failures: int = 6


class Keeper:
    """One server of one data folder. `changed` is called after each start and death."""

    def __init__(
        self,
        server: Server,
        data_dir: Path,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.restarts = 0
        self.session: Session | None = None
        self._data_dir = data_dir
        self._changed = changed
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> None:
        """Start and return when ready; raises `ServerFailed` with where to read why."""
        self._process = self.server.start()
        self.session = Session.led_by(self._process.pid)
        self._started = self._clock()
        self._changed()
        ready = asyncio.ensure_future(self.server.ready())
        try:
            while not ready.done():
                if self.pid is None:
                    raise ServerFailed(f"{self.server.name} ended while starting: see {self.server.log}.")
                await asyncio.wait([ready], timeout=0.2)
            ready.result()
        finally:
            ready.cancel()

    async def died(self) -> None:
        """Return when the server is dead, or does not answer its health check for long."""
        unhealthy, asked = 0, self._clock()
        while self.pid is not None and unhealthy < self.server.health_failures:
            await asyncio.sleep(0.5)
            if self.server.healthy is not None and self._clock() - asked >= HEALTH_PERIOD:
                unhealthy, asked = (0 if await self.server.healthy() else unhealthy + 1), self._clock()

    async def revive(self) -> None:
        """Clear what is left, wait (longer after each quick death), start again; raises as `start`."""
        self._failures = 0 if self._clock() - self._started > STABLE_SECONDS else self._failures + 1
        self.restarts += 1
        self._changed()
        await self.clear()
        await asyncio.sleep(BACKOFF[min(self._failures, len(BACKOFF) - 1)])
        await self.start()

    async def stop(self) -> None:
        """The server's own signal, its grace, then the end of everything that belongs to it."""
        if self._process is not None and self.pid is not None:
            self._process.send_signal(self.server.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, self.server.stop_seconds)
        await self.clear()

    async def clear(self) -> None:
        """End every process of this server; returns when none is left."""
        if self._process is not None and self.pid is not None:
            self._process.kill()
            self._process.wait()
        await asyncio.to_thread(ownership.kill, self._remains())

    def _remains(self) -> list[psutil.Process]:
        sessions = [self.session] if self.session else []
        return ownership.owned(self._data_dir, sessions, self.server.name)

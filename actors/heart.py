"""Keeping leases alive from a thread of its own: models may keep the process busy, leases must not run out.

The thread has its own event loop and its own connection. It also notices work that never ends.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from domain.jobs import Lease

log = structlog.get_logger(__name__)


class Pulse(Protocol):
    """What the thread does at each beat; opened, used and closed in the thread."""

    async def beat(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        """Prolong the leases; those that are lost."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Holding:
    """Leases under work in one event loop; `lost` is set there when one of them is lost."""

    leases: tuple[Lease, ...]
    loop: asyncio.AbstractEventLoop
    since: float
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    def lose(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.lost.set)


class Heart:
    """One thread that beats every `seconds` from `start` to `stop`.

    What cannot be prolonged for `lease_seconds` counts as lost. Work that takes longer than `stuck_seconds`
    is stuck: `on_stuck` is called in the thread (in production it ends the process).
    """

    def __init__(
        self,
        open_pulse: Callable[[], Pulse],
        *,
        seconds: float,
        lease_seconds: float,
        stuck_seconds: float,
        on_stuck: Callable[[], None],
    ) -> None:
        self._open_pulse = open_pulse
        self._seconds = seconds
        self._lease_seconds = lease_seconds
        self._stuck_seconds = stuck_seconds
        self._on_stuck = on_stuck
        self._holdings: set[Holding] = set()
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended; does nothing when it never started."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def holding(self, *leases: Lease) -> Iterator[Holding]:
        """Keep these leases alive within the block."""
        holding = Holding(leases, asyncio.get_running_loop(), time.monotonic())
        with self._guard:
            self._holdings.add(holding)
        try:
            yield holding
        finally:
            with self._guard:
                self._holdings.discard(holding)

    async def _run(self) -> None:
        pulse = self._open_pulse()
        reached = time.monotonic()
        try:
            while not await asyncio.to_thread(self._ended.wait, self._seconds):
                with self._guard:
                    holdings = list(self._holdings)
                if any(time.monotonic() - holding.since > self._stuck_seconds for holding in holdings):
                    log.error("work_stuck", seconds=self._stuck_seconds)
                    self._on_stuck()
                leases: Sequence[Lease] = [lease for holding in holdings for lease in holding.leases]
                try:
                    lost = await pulse.beat(leases)
                    reached = time.monotonic()
                except Exception as error:  # noqa: BLE001 - if this thread ended, all leases of the process would
                    log.warning("heartbeat_failed", reason=getattr(error, "code", type(error).__name__))
                    silent = time.monotonic() - reached
                    lost = leases if silent > self._lease_seconds else []
                for holding in holdings:
                    if any(lease in holding.leases for lease in lost):
                        holding.lose()
        finally:
            await pulse.close()
            await asyncio.sleep(0)  # connections end in the next turn of this loop, which is its last

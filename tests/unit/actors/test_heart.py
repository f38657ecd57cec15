"""The heart thread: it beats while the process is busy, tells what is lost, and notices endless work."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from domain.errors import Unavailable
from domain.jobs import Stage
from tests.unit.actors.doubles import NoPulse, beating, lease
from tests.waiting import eventually


async def test_it_beats_while_the_event_loop_is_blocked():
    pulse = NoPulse()
    with beating(pulse) as heart, heart.holding(lease()):
        before = pulse.beats
        deadline = time.monotonic() + 10
        while pulse.beats < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251 - blocks the loop on purpose
        assert pulse.beats >= before + 3


async def test_a_lost_lease_is_told_to_its_holder_only():
    pulse = NoPulse(lose={Stage.EMBED})
    with (
        beating(pulse) as heart,
        heart.holding(lease(Stage.EMBED)) as lost,
        heart.holding(lease(Stage.EXTRACT)) as kept,
    ):
        await asyncio.wait_for(lost.lost.wait(), 10)
        assert not kept.lost.is_set()


@pytest.mark.parametrize("trouble", [Unavailable("away"), RuntimeError("broken")])
async def test_silence_of_the_store_beyond_the_lease_loses_it(trouble):
    class Away(NoPulse):
        async def beat(self, leases):
            raise trouble

    with beating(Away(), lease_seconds=0.05) as heart, heart.holding(lease()) as holding:
        started = time.monotonic()
        await asyncio.wait_for(holding.lost.wait(), 10)
        assert time.monotonic() - started >= 0.03


@pytest.mark.parametrize("trouble", [Unavailable("away"), RuntimeError("deadlock detected")])
async def test_a_short_silence_loses_nothing(trouble):
    class Flickering(NoPulse):
        async def beat(self, leases):
            self.beats += 1
            if self.beats % 2:
                raise trouble
            return []

    pulse = Flickering()
    with beating(pulse) as heart, heart.holding(lease()) as holding:
        await eventually(lambda: pulse.beats >= 6)
        assert not holding.lost.is_set()


async def test_endless_work_is_reported():
    stuck = threading.Event()
    with beating(NoPulse(), on_stuck=stuck.set, stuck_seconds=0.05) as heart:
        await asyncio.sleep(0.1)
        assert not stuck.is_set()
        with heart.holding(lease()):
            assert await asyncio.to_thread(stuck.wait, 10)

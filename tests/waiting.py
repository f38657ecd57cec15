"""Waiting for what happens in its own time, by asking instead of sleeping for a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(true: Callable[[], Awaitable[T]], seconds: float = 30) -> T:
    """Ask again and again; the first true answer. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not (answer := await true()):  # noqa: ASYNC110 - the answer comes from another process
            await asyncio.sleep(0.02)
    return answer


async def eventually(true: Callable[[], T], seconds: float = 10) -> T:
    """The same for what can be seen without waiting."""
    async with asyncio.timeout(seconds):
        while not (answer := true()):  # noqa: ASYNC110 - a plain value
            await asyncio.sleep(0.001)
    return answer

"""Doing a duty while one is the leader: stand by, take the office, work, and stop at once when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import structlog

from domain.errors import Unavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25


class Office(Protocol):
    """What only one process may be (`stores.leadership.Leadership`)."""

    @property
    def office(self) -> str: ...
    @property
    def held(self) -> bool: ...
    async def take(self) -> bool: ...
    async def give_back(self) -> None: ...


async def lead(
    office: Office, duty: Callable[[], Awaitable[None]], *, standby_seconds: float, rest_seconds: float = 1.0
) -> None:
    """Run `duty`, which works until it is cancelled, whenever the office is ours; until cancelled itself.

    A duty that fails is logged and begun anew after a rest.
    """
    try:
        while True:
            if await _taken(office):
                log.info("leading", office=office.office)
                await _serve(office, duty)
                await office.give_back()
                await asyncio.sleep(rest_seconds)
            else:
                await asyncio.sleep(standby_seconds)
    finally:
        await office.give_back()


async def _taken(office: Office) -> bool:
    try:
        return await office.take()
    except Unavailable as error:
        log.warning("standby_store_away", office=office.office, reason=error.code)
        return False


async def _serve(office: Office, duty: Callable[[], Awaitable[None]]) -> None:
    work = asyncio.ensure_future(duty())
    try:
        while office.held and not work.done():
            await asyncio.wait([work], timeout=LOOK_SECONDS)
        if work.done():
            work.result()
        log.warning("leadership_ended", office=office.office, held=office.held)
    except Unavailable as error:
        log.warning("duty_store_away", office=office.office, reason=error.code)
    except Exception as error:
        log.exception("duty_failed", office=office.office, exc_info=error)
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await work

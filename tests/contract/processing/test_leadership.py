"""One leader at a time: by a lock that goes with its connection, also when its holder is only silent."""

from __future__ import annotations

import asyncio

import pytest

from actors.leading import lead
from domain.errors import Unavailable
from stores.leadership import Leadership
from stores.postgres import Database, Postgres
from tests.waiting import eventually, until

OFFICE = "test-office"


@pytest.fixture
def office(processing, secrets):
    return lambda **options: Leadership(processing.target, secrets, OFFICE, **options)


async def terminate(db: Postgres, office: str) -> None:
    """Cut the connection that holds the office, as an administrator or a restart would."""
    async with db.connection() as connection:
        await connection.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
            AND ((classid::bigint << 32) | objid::bigint) = hashtextextended($1, 0)
            """,
            office,
        )


async def test_only_one_leads_and_another_follows(office):
    first, second = office(), office()
    assert await first.take()
    assert await first.take()
    assert not await second.take()
    assert (first.held, second.held) == (True, False)
    await first.give_back()
    assert await second.take()
    await second.give_back()


async def test_of_many_at_once_one_gets_it(office):
    candidates = [office() for _ in range(8)]
    taken = await asyncio.gather(*(one.take() for one in candidates))
    assert taken.count(True) == 1
    for one in candidates:
        await one.give_back()


async def test_the_office_goes_with_the_connection(office, processing):
    first = office()
    await first.take()
    await terminate(processing, OFFICE)
    await eventually(lambda: not first.held)
    second = office()
    assert await second.take()
    await second.give_back()
    await first.give_back()


async def test_a_frozen_leader_loses_the_office(office):
    first = office(silence_seconds=0.4)
    await first.take()
    first._alive.cancel()  # as a stopped process: it says nothing any more
    second = office()
    await until(second.take)
    await eventually(lambda: not first.held)
    await second.give_back()
    await first.give_back()


async def test_a_leader_that_talks_keeps_the_office(office):
    first = office(silence_seconds=2)
    await first.take()
    await asyncio.sleep(3)
    assert first.held
    await first.give_back()


async def test_an_unreachable_server_is_said(secrets, tmp_path):
    nowhere = Database(str(tmp_path), 5432, "processing_db", "medsearch_processing", "postgres-processing")
    with pytest.raises(Unavailable):
        await Leadership(nowhere, secrets, OFFICE).take()


class Duty:
    """Counts how often it was begun and whether it is at work."""

    def __init__(self, *troubles: Exception) -> None:
        self.begun = 0
        self.at_work = False
        self._troubles = list(troubles)

    async def __call__(self) -> None:
        self.begun += 1
        if self._troubles:
            raise self._troubles.pop()
        self.at_work = True
        try:
            await asyncio.Event().wait()
        finally:
            self.at_work = False


async def test_duty_stops_when_the_office_is_lost_and_is_taken_up_again(office, processing):
    duty = Duty()
    leading = asyncio.create_task(lead(office(), duty, standby_seconds=0.05, rest_seconds=0.05))
    await eventually(lambda: duty.at_work)
    await terminate(processing, OFFICE)
    await eventually(lambda: duty.begun == 2 and duty.at_work)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert not duty.at_work
    follower = office()
    assert await follower.take()
    await follower.give_back()


async def test_a_standby_takes_over_and_never_two_at_once(office):
    first, second = Duty(), Duty()
    one = asyncio.create_task(lead(office(), first, standby_seconds=0.05))
    await eventually(lambda: first.at_work)
    two = asyncio.create_task(lead(office(), second, standby_seconds=0.05))
    await asyncio.sleep(0.3)
    assert second.begun == 0
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    await eventually(lambda: second.at_work)
    assert not first.at_work
    two.cancel()
    await asyncio.gather(two, return_exceptions=True)


@pytest.mark.parametrize("trouble", [Unavailable("away"), RuntimeError("broken")])
async def test_a_duty_that_fails_is_begun_anew(office, trouble):
    duty = Duty(trouble)
    leading = asyncio.create_task(lead(office(), duty, standby_seconds=0.05, rest_seconds=0.05))
    await eventually(lambda: duty.at_work)
    assert duty.begun == 2
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)

"""Rotating the token key while people work: row A28 of docs/security.md, and what the audit trail says of it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from config.secrets import SecretStore
from config.settings import Settings
from domain.keys import Purpose
from stores.keyring import SecretKeys
from stores.postgres import Postgres
from tests.contract.auth.people import Person

Arrive = Callable[[], Awaitable[Person]]
ROTATIONS = 3


async def test_a28_rotations_by_command_refuse_no_valid_token_under_load(
    arrive: Arrive, quick: Settings, secrets: SecretStore
) -> None:
    people = [await arrive() for _ in range(4)]
    before = SecretKeys.of(quick, secrets).list(Purpose.TOKEN)[0].name
    done = asyncio.Event()
    statuses: list[int] = []

    async def work(person: Person) -> None:
        """Old tokens, and new ones that the newest key signs."""
        while not done.is_set():
            statuses.append((await person.me()).status_code)
            statuses.append((await person.login()).status_code)
            statuses.append((await person.me()).status_code)

    working = [asyncio.create_task(work(person)) for person in people]
    old = dict(people[0].bearer)
    for _ in range(ROTATIONS):
        command = [sys.executable, "-m", "cluster.cli", "keys", "rotate", Purpose.TOKEN.value]
        environment = {**os.environ, "MEDSEARCH_DATA_DIR": str(quick.data_dir)}
        rotation = await asyncio.create_subprocess_exec(*command, env=environment)
        assert await rotation.wait() == 0
    done.set()
    await asyncio.gather(*working)
    assert len(statuses) > 3 * ROTATIONS
    assert set(statuses) == {200}
    assert (await people[0].client.get("/api/v1/users/me", headers=old)).status_code == 200
    assert await _recorded(quick, secrets) >= {before}


async def _recorded(settings: Settings, secrets: SecretStore) -> set[str]:
    """Names of the keys that the trail says were taken into use, by the operator."""
    db = Postgres.of(settings, secrets, "audit", "owner")
    async with db.connection() as connection:
        rows = await connection.fetch(
            "SELECT reason FROM audit_record WHERE event = 'keys.rotate' AND actor = 'operator'"
        )
    await db.close()
    return {row["reason"] for row in rows}

"""The event pump as it is composed for a platform: its leader sends mails too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors.composition import event_pump
from config.mail_settings import MailSettings
from domain.mail import MailKind
from stores.mail.queue import MailQueue
from stores.postgres import Postgres
from tests.servers import Servers, running_servers


@pytest.fixture(scope="module")
def own() -> Iterator[Servers]:
    """Servers of their own: the pump moves everything that it finds, also what other tests left."""
    with running_servers() as running:
        yield running


async def test_the_leader_of_the_pump_sends_what_is_added(own: Servers, tmp_path: Path) -> None:
    settings = own.settings.model_copy(update={"mail": MailSettings(folder=tmp_path / "mail")})
    running = event_pump(settings, own.secrets)
    db = Postgres.of(settings, own.secrets, "auth")
    work = asyncio.create_task(running.run())
    try:
        async with db.transaction() as connection:
            mail = await MailQueue.add(connection, None, MailKind.NAME_TAKEN, address="a@example.com")
        async with asyncio.timeout(30):
            while True:
                if await _told(db, str(mail)):
                    break
                await asyncio.sleep(0.05)
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await db.close()
    assert (tmp_path / "mail" / f"{mail}.eml").exists()


async def _told(db: Postgres, mail: str) -> bool:
    async with db.connection() as connection:
        found = await connection.fetchval(
            "SELECT 1 FROM outbox WHERE body->>'subject' = $1 AND body->>'type' = 'notification.delivered'",
            mail,
        )
    return found is not None

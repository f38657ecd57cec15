"""Reads the mails that the application under test causes, by way of the real mailer and a folder."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

from actors.composition import mailer_of
from config.secrets import SecretStore
from config.settings import Settings
from stores.keyring import SecretKeys
from stores.listening import Listener
from stores.mail.folder import FolderMail
from stores.mail.messages import Letterhead
from stores.mail.queue import CHANNEL
from stores.postgres import Postgres


class Mailbox:
    """All mails of a platform, as if every address were ours."""

    def __init__(self, settings: Settings, secrets: SecretStore, folder: Path) -> None:
        self._folder = folder
        self.db = Postgres.of(settings, secrets, "auth")
        waker = Listener(self.db.target, secrets, CHANNEL)
        sender = FolderMail(folder, Letterhead("medsearch <no-reply@example.com>"))
        self._mailer = mailer_of(settings, self.db, sender, SecretKeys.of(settings, secrets), waker)

    async def mails(self, address: str) -> list[EmailMessage]:
        """Those to an address, oldest first."""
        while await self._mailer.run_once():
            pass
        files = sorted(self._folder.glob("*.eml"))
        found = [cast("EmailMessage", message_from_bytes(f.read_bytes(), policy=default)) for f in files]
        return [mail for mail in found if mail["to"] == address]

    async def subjects(self, address: str) -> list[str]:
        return [str(mail["subject"]) for mail in await self.mails(address)]

    async def links(self, address: str) -> list[str]:
        """Links in mails to the address, oldest first."""
        return [
            link for mail in await self.mails(address) for link in re.findall(r"\S+#token=\S+", words(mail))
        ]

    async def token(self, address: str) -> str:
        """The token of the newest link."""
        return (await self.links(address))[-1].partition("#token=")[2]

    async def close(self) -> None:
        await self.db.close()


def words(mail: EmailMessage) -> str:
    plain = mail.get_body(("plain",))
    assert plain is not None
    return str(plain.get_content())

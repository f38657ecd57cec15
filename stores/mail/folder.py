"""Mails as files, where no SMTP server is set: for trying the platform out, and for tests."""

from __future__ import annotations

import asyncio
import os
from email.message import EmailMessage
from pathlib import Path

from domain.errors import Unavailable
from stores.mail.messages import Letterhead
from stores.ports import Mail


class FolderMail:
    """`MailSender` into `folder`/KEY.eml: a mail sent again replaces itself. Links work like passwords, so the
    folder is its owner's alone (0700)."""

    def __init__(self, folder: Path, letterhead: Letterhead) -> None:
        self._folder = folder
        self._letterhead = letterhead

    async def send(self, mail: Mail) -> None:
        message = self._letterhead.message(mail)
        try:
            await asyncio.to_thread(self._write, mail.key, message)
        except OSError as error:
            raise Unavailable(
                f"The mail folder cannot be written ({type(error).__name__}).", code="mail.folder_unavailable"
            ) from error

    async def close(self) -> None:
        return None

    def _write(self, key: str, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._folder / f".{key}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.as_bytes())
        temporary.replace(self._folder / f"{key}.eml")

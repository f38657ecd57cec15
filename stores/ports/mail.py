"""Outgoing mail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from domain.errors import MedsearchError


class MailRefused(MedsearchError):
    """The mail will never be delivered: the server said so for good. It is not tried again."""

    code = "mail.refused"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one address. It may hold a link that works like a password."""

    key: str
    """Makes the Message-ID: the same mail sent again has the same one."""
    recipient: str
    subject: str
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)


class MailSender(Protocol):
    """Hands mails over: to an SMTP server, or into a folder where none is set."""

    async def send(self, mail: Mail) -> None:
        """Return when the mail is in other hands; raises `MailRefused`, or `Unavailable` to be tried again.

        How long that may take is the caller's to limit.
        """
        ...

    async def close(self) -> None: ...

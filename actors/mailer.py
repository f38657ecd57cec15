"""Sends what waits in the mail queue. A duty of the event pump's leader: it works until it is cancelled."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from jinja2 import TemplateError

from domain.errors import Unavailable
from domain.mail import LINKS, LinkPurpose, MailKind, RetryPlan
from stores.email_tokens import EmailTokens, Link
from stores.listening import Listener
from stores.mail.queue import MailQueue, QueuedMail, Recipient
from stores.mail.rendering import Templates
from stores.ports import Keys, Mail, MailRefused, MailSender
from stores.postgres import Postgres

AT_ONCE = 4
"""Mails sent side by side: a slow recipient holds up few others."""

KEPT = timedelta(days=30)
"""How long mails that are done, and links that have ended, stay in the tables."""

TO_THE_INACTIVE: tuple[str, ...] = (MailKind.SUSPENDED,)

log = structlog.get_logger(__name__)


class Dropped(Exception):
    """The mail is not to be sent (any more); the argument says why in one word."""


class Mailer:
    """`timeout`: what the sender may take for one mail; a claim lasts longer, so that nobody else sends it meanwhile."""

    name = "mailer"

    def __init__(
        self,
        db: Postgres,
        sender: MailSender,
        *,
        keys: Keys,
        templates: Templates,
        origin: str,
        retry: RetryPlan,
        timeout: float,
        waker: Listener,
    ) -> None:
        self._db = db
        self._sender = sender
        self._keys = keys
        self._templates = templates
        self._origin = origin
        self._retry = retry
        self._timeout = timeout
        self._waker = waker
        self._heard = 0

    async def run_once(self) -> int:
        """Attempt the mails that are due, a few at a time; how many."""
        self._heard = self._waker.count
        lease = timedelta(seconds=2 * self._timeout + 30)
        async with self._db.transaction() as connection:
            claimed = await MailQueue.claim(connection, limit=AT_ONCE, lease=lease)
        outcomes = await asyncio.gather(*(self._attempt(mail) for mail in claimed), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome  # the others have been noted; this one is claimed again when its claim ends
        return len(claimed)

    async def wait(self, seconds: float) -> None:
        """Until a mail was added since the last turn, or for so long."""
        await self._waker.wait(seconds, since=self._heard)

    async def forget(self) -> int:
        """Remove what is done and old."""
        async with self._db.transaction() as connection:
            tokens = await EmailTokens(connection).forget(KEPT)
            return tokens + await MailQueue.forget(connection, KEPT)

    async def _attempt(self, mail: QueuedMail) -> None:
        try:
            message = await self._written(mail)
            async with asyncio.timeout(self._timeout):
                await self._sender.send(message)
        except Dropped as dropped:
            await self._give_up(mail, str(dropped))
        except MailRefused as refused:
            await self._give_up(mail, refused.code)
        except TimeoutError:
            await self._again(mail, "mail.timeout")
        except Unavailable as trouble:
            await self._again(mail, trouble.code)
        except Exception as error:  # noqa: BLE001 - one mail, whatever is wrong with it, must not stop events and others
            log.error("mail_unexpected_error", mail=str(mail.id), kind=mail.kind, error=type(error).__name__)
            await self._again(mail, "mail.unexpected")
        else:
            async with self._db.transaction() as connection:
                await MailQueue.sent(connection, mail)
            log.info("mail_sent", mail=str(mail.id), kind=mail.kind, attempts=mail.attempts)

    async def _written(self, mail: QueuedMail) -> Mail:
        """The message to its one recipient; raises `Dropped`."""
        to = _address(mail)
        try:
            kind = MailKind(mail.kind)
            purpose = LINKS.get(kind)
            link = await self._link(mail, kind, purpose) if purpose else None
            words = self._templates.render(kind, mail.parameters, link)
        except (TemplateError, ValueError) as error:
            log.error("mail_without_words", mail=str(mail.id), kind=mail.kind, error=type(error).__name__)
            raise Dropped("template") from None
        return Mail(str(mail.id), to, words.subject, words.text, words.html)

    async def _link(self, mail: QueuedMail, kind: MailKind, purpose: LinkPurpose) -> str:
        recipient = mail.recipient
        key = _link_address(kind, recipient, mail.address) if recipient else None
        if recipient is None or key is None:
            raise Dropped("superseded")
        async with self._db.transaction() as connection:
            token = await EmailTokens(connection).issue(
                mail.id, Link(recipient.id, key), purpose, wished_at=mail.created_at, keys=self._keys
            )
        if token is None:
            raise Dropped("expired")
        return f"{self._origin}{purpose.page}#token={token}"

    async def _again(self, mail: QueuedMail, reason: str) -> None:
        wait = self._retry.wait(mail.attempts)
        if wait is None:
            await self._give_up(mail, reason)
            return
        log.warning("mail_put_off", mail=str(mail.id), reason=reason, attempts=mail.attempts, seconds=wait)
        async with self._db.transaction() as connection:
            await MailQueue.put_off(connection, mail, reason, wait)

    async def _give_up(self, mail: QueuedMail, reason: str) -> None:
        log.warning("mail_given_up", mail=str(mail.id), kind=mail.kind, reason=reason)
        async with self._db.transaction() as connection:
            await MailQueue.failed(connection, mail, reason)


def _address(mail: QueuedMail) -> str:
    """Whom the mail goes to; raises `Dropped` when there is nobody (any more)."""
    recipient = mail.recipient
    if recipient is None:
        if mail.address is None:
            raise Dropped("nobody")
        return mail.address
    if not recipient.active and mail.kind not in TO_THE_INACTIVE:
        raise Dropped("inactive")
    return mail.address or recipient.email


def _link_address(kind: MailKind, recipient: Recipient, to: str | None) -> str | None:
    """Key of the address that the link is good for; None when there is nothing left to confirm."""
    if kind is MailKind.EMAIL_CHANGE:
        return recipient.pending_email_key if to == recipient.pending_email else None
    if kind is MailKind.VERIFY and recipient.verified:
        return None
    return recipient.email_key

"""Mails to an SMTP server, one connection a mail."""

from __future__ import annotations

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from config.mail_settings import MailSettings
from config.secrets import SecretMissing, SecretStore
from domain.errors import Unavailable
from stores.mail.messages import Letterhead, on_the_wire
from stores.ports import Mail, MailRefused

PASSWORD = "smtp"  # noqa: S105 - a secret's name
PERMANENT = 500
"""First reply code of a refusal for good (RFC 5321)."""


class SmtpMail:
    """`MailSender` over SMTP with STARTTLS or TLS; certificates are verified, and TLS is never left out silently.

    What the server says of the recipient or of the mail may be for good; trouble with the connection, the
    login or our sender address is not the mail's fault, and `Unavailable`.
    """

    def __init__(self, settings: MailSettings, secrets: SecretStore, letterhead: Letterhead) -> None:
        self._settings = settings
        self._secrets = secrets
        self._letterhead = letterhead

    async def send(self, mail: Mail) -> None:
        message = self._letterhead.message(mail)
        try:
            async with self._connection() as server:
                recipients = [on_the_wire(mail.recipient)]
                await server.send_message(message, sender=self._letterhead.address, recipients=recipients)
        except (SMTPException, OSError) as error:
            raise _translated(error) from None
        except SecretMissing as error:
            raise Unavailable(f"{error}.", code="mail.password_missing") from None

    async def close(self) -> None:
        return None

    def _connection(self) -> SMTP:
        settings = self._settings
        secret = self._secrets.resolve(PASSWORD) if settings.username else None
        return SMTP(
            hostname=settings.host,
            port=settings.port,
            use_tls=settings.tls == "implicit",
            start_tls=settings.tls == "starttls",
            username=settings.username,
            password=secret.get_secret_value() if secret else None,
            timeout=settings.timeout_seconds,
        )


def _translated(error: SMTPException | OSError) -> MailRefused | Unavailable:
    """Never with the server's words: they may repeat the address."""
    if isinstance(error, SMTPRecipientsRefused):
        codes = [refused.code for refused in error.recipients]
        if codes and all(code >= PERMANENT for code in codes):
            return MailRefused("The server knows no such recipient.", code="mail.recipient_refused")
    if isinstance(error, SMTPDataError) and error.code >= PERMANENT:
        return MailRefused("The server does not take this mail.")
    if isinstance(error, SMTPNotSupported):
        return MailRefused("The server cannot deliver to this address.", code="mail.address_unsupported")
    if isinstance(error, SMTPAuthenticationError):
        return Unavailable("The SMTP server refuses our login.", code="mail.login_refused")
    what = f" ({error.code})" if isinstance(error, SMTPResponseException) else ""
    return Unavailable(
        f"The SMTP server does not take mails now: {type(error).__name__}{what}.",
        code="mail.server_unavailable",
    )

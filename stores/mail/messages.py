"""From a `Mail` to a message (RFC 5322). Headers are built by `email.message`, which takes no line breaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr

from email_validator import EmailNotValidError, validate_email

from stores.ports import Mail, MailRefused


@dataclass(frozen=True, slots=True)
class Letterhead:
    """From whom all mails come: one address, perhaps with a name (`medsearch <no-reply@hospital.example>`)."""

    sender: str

    @property
    def address(self) -> str:
        return parseaddr(self.sender)[1]

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def message(self, mail: Mail) -> EmailMessage:
        """The mail as a message to its one recipient; raises `MailRefused` for an address that is none."""
        recipient = on_the_wire(mail.recipient)
        message = EmailMessage(SMTP if recipient.isascii() else SMTPUTF8)
        name, address = parseaddr(self.sender)
        message["From"] = Address(name, addr_spec=address)
        local, _, domain = recipient.rpartition("@")
        message["To"] = Address(username=local, domain=domain)
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{mail.key}@{self.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text, cte="quoted-printable")
        if mail.html is not None:
            message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
        return message


def on_the_wire(address: str) -> str:
    """The address with its domain in ASCII (IDNA), as servers want it; raises `MailRefused` for what is none."""
    try:
        found = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise MailRefused("This is no address that mail can go to.", code="mail.bad_address") from None
    return f"{found.local_part}@{found.ascii_domain}"

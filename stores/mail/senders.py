"""The sender that the settings ask for."""

from __future__ import annotations

from config.secrets import SecretStore
from config.settings import Settings
from stores.mail.folder import FolderMail
from stores.mail.messages import Letterhead
from stores.mail.smtp import SmtpMail
from stores.ports import MailSender


def open_mail(settings: Settings, secrets: SecretStore) -> MailSender:
    """To the SMTP server, or into the folder where none is set; nothing is connected before a mail is sent."""
    letterhead = Letterhead(settings.mail_sender)
    if settings.mail.host:
        return SmtpMail(settings.mail, secrets, letterhead)
    return FolderMail(settings.mail_path, letterhead)

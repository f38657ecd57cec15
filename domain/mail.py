"""The mails that the platform writes, and the links in them: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class MailKind(StrEnum):
    """One template each. No mail to a stranger holds what somebody typed: who can make us write could write in our name."""

    WELCOME = "welcome"
    VERIFY = "verify"
    ALREADY_REGISTERED = "already_registered"
    NAME_TAKEN = "name_taken"
    RESET = "reset"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a name
    EMAIL_CHANGE = "email_change"
    """To the new address, with the link."""
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    """To the address that still counts."""
    EMAIL_CHANGE_TAKEN = "email_change_taken"
    """To whoever has the address that somebody else wanted."""
    EMAIL_CHANGED = "email_changed"
    """To the address that counts no more."""
    REFRESH_REUSE = "refresh_reuse"
    MFA_ENABLED = "mfa_enabled"
    MFA_DISABLED = "mfa_disabled"
    RECOVERY_CODE_USED = "recovery_code_used"
    API_KEY_CREATED = "api_key_created"
    OIDC_LINKED = "oidc_linked"
    ROLE_APPROVED = "role_approved"
    """With `role`."""
    ROLE_REFUSED = "role_refused"
    """With `role`."""
    ROLE_CHANGED = "role_changed"
    """With `role`."""
    SUSPENDED = "suspended"
    ACTIVATED = "activated"
    BREAK_GLASS = "break_glass"
    """To whoever watches over emergency access, with its `id`, `username`, `started_at` and `ends_at` as text; the
    patient stands in the trail alone."""


class LinkPurpose(StrEnum):
    """What a mailed link may be used for. One purpose's link is refused for the other."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a name

    @property
    def life(self) -> timedelta:
        return timedelta(minutes=30) if self is LinkPurpose.RESET_PASSWORD else timedelta(hours=24)

    @property
    def page(self) -> str:
        """Path of the page that the link opens; the token follows as fragment, which no server is told."""
        return "/account/reset" if self is LinkPurpose.RESET_PASSWORD else "/account/verify"


LINKS = {
    MailKind.VERIFY: LinkPurpose.VERIFY_EMAIL,
    MailKind.EMAIL_CHANGE: LinkPurpose.VERIFY_EMAIL,
    MailKind.RESET: LinkPurpose.RESET_PASSWORD,
}
"""Kinds of mail with a link that works like a password."""


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """Waits before the next attempts, in seconds; after the last of them a mail is given up."""

    waits: tuple[float, ...]

    def wait(self, attempts: int) -> float | None:
        """Before the next attempt after `attempts` failed ones; None when there shall be none."""
        return self.waits[attempts - 1] if attempts <= len(self.waits) else None

"""The mails that the platform writes, and the links in them: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class MailKind(StrEnum):
    """One template each. No mail holds what somebody typed: it could be used to write to strangers in our name."""

    WELCOME = "welcome"
    VERIFY = "verify"
    ALREADY_REGISTERED = "already-registered"
    NAME_TAKEN = "name-taken"
    RESET = "reset"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - a name
    EMAIL_CHANGE = "email-change"
    """To the new address, with the link."""
    EMAIL_CHANGE_REQUESTED = "email-change-requested"
    """To the address that still counts."""
    EMAIL_CHANGE_TAKEN = "email-change-taken"
    """To whoever has the address that somebody else wanted."""
    EMAIL_CHANGED = "email-changed"
    """To the address that counts no more."""
    REFRESH_REUSE = "refresh-reuse"
    MFA_ENABLED = "mfa-enabled"
    MFA_DISABLED = "mfa-disabled"
    RECOVERY_CODE_USED = "recovery-code-used"
    API_KEY_CREATED = "api-key-created"
    OIDC_LINKED = "oidc-linked"
    ROLE_APPROVED = "role-approved"
    """With `role`."""
    ROLE_REFUSED = "role-refused"
    """With `role`."""
    ROLE_CHANGED = "role-changed"
    """With `role`."""
    SUSPENDED = "suspended"
    ACTIVATED = "activated"
    BREAK_GLASS = "break-glass"
    """To a privacy officer, with `started_at`, `ends_at` (as text) and `break_glass_id`; the patient is in the trail."""


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

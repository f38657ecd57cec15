"""The names of everything that is audited."""

from __future__ import annotations

from enum import StrEnum


class AuditEvent(StrEnum):
    """What happened, as records name it: the thing, then the act."""

    REGISTERED = "auth.register"
    VERIFICATION_REQUESTED = "auth.verification_requested"
    EMAIL_VERIFIED = "auth.email_verified"
    LOGIN = "auth.login"
    LOGOUT = "auth.logout"
    REFRESH = "auth.refresh"
    REFRESH_REUSED = "auth.refresh_reuse"
    LOCKOUT = "auth.lockout"
    RESET_REQUESTED = "auth.reset_requested"
    PASSWORD_RESET = "auth.password_reset"  # noqa: S105 - a name
    PASSWORD_CHANGED = "auth.password_changed"  # noqa: S105 - a name
    SESSION_ENDED = "auth.session_ended"
    MFA_ENABLED = "auth.mfa_enabled"
    MFA_DISABLED = "auth.mfa_disabled"
    RECOVERY_CODES_MADE = "auth.recovery_codes_made"
    RECOVERY_CODE_USED = "auth.recovery_code_used"
    API_KEY_CREATED = "auth.api_key_created"
    API_KEY_REVOKED = "auth.api_key_revoked"
    OIDC_LINKED = "auth.oidc_linked"

    ACCOUNT_CREATED = "account.create"
    ACCOUNT_UPDATED = "account.update"
    ACCOUNT_VIEWED = "account.view"
    ACCOUNTS_LISTED = "account.list"
    EMAIL_CHANGED = "account.email_changed"
    ROLE_APPROVED = "account.role_approved"
    ROLE_REFUSED = "account.role_refused"
    ROLE_CHANGED = "account.role_changed"
    SUSPENDED = "account.suspended"
    ACTIVATED = "account.activated"
    UNLOCKED = "account.unlocked"
    DEPARTMENTS_CHANGED = "account.departments_changed"
    OWN_RECORD_SET = "account.own_record_set"
    OWN_RECORD_REMOVED = "account.own_record_removed"
    TREATMENT_BEGUN = "treatment.start"
    TREATMENT_ENDED = "treatment.end"
    TREATMENTS_LISTED = "treatment.list"
    BREAKGLASS_STARTED = "breakglass.start"
    BREAKGLASS_STOPPED = "breakglass.stop"

    ACCESS_DENIED = "access.denied"
    DOCUMENT_UPLOAD = "document.upload"
    DOCUMENT_VERSION = "document.version"
    DOCUMENT_VIEW = "document.view"
    DOCUMENT_STATUS = "document.status"
    DOCUMENT_LIST = "document.list"
    DOCUMENT_DOWNLOAD = "document.download"
    DOCUMENT_TEXT = "document.text"
    DOCUMENT_ENTITIES = "document.entities"
    DOCUMENT_EXPORT = "document.export"
    DOCUMENT_DELETE = "document.delete"
    DOCUMENT_ACCESS_VIEW = "document.access_view"
    DOCUMENT_ACCESS_CHANGE = "document.access_change"
    SEARCH_PERFORMED = "search.performed"
    BULK_INGEST = "bulk.ingest"
    PROCESSING_RETRY = "processing.retry"
    PROCESSING_PAUSE = "processing.pause"
    PROCESSING_RESUME = "processing.resume"
    INDEX_REBUILD = "index.rebuild"
    INDEX_BUILD = "index.build"
    INDEX_STOP = "index.stop"
    INDEX_PROMOTE = "index.promote"
    INDEX_DROP = "index.drop"

    AUDIT_READ = "audit.read"
    AUDIT_READERS = "audit.readers"
    AUDIT_OWN = "audit.own"
    AUDIT_FIGURES = "audit.figures"
    AUDIT_EXPORT = "audit.export"
    AUDIT_HEADS = "audit.heads"
    AUDIT_VERIFIED = "audit.verify"
    AUDIT_PRUNED = "audit.prune"
    KEY_ROTATED = "keys.rotate"
    KEY_RETIRED = "keys.retire"
    CONFIGURATION_CHANGED = "platform.configuration"


SEEING = frozenset(
    event
    for event in AuditEvent
    if event.value.startswith("document.") and event is not AuditEvent.DOCUMENT_STATUS
) | {
    AuditEvent.SEARCH_PERFORMED,
    AuditEvent.BULK_INGEST,
    AuditEvent.ACCOUNT_VIEWED,
    AuditEvent.ACCOUNTS_LISTED,
    AuditEvent.TREATMENTS_LISTED,
}
"""By these somebody saw or changed something of a patient."""

"""The one error hierarchy. Each error carries a stable dotted code; HTTP has one table from error class to status.

Messages are shown to users: they say what was wrong and what to do, and never contain PHI.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: its dotted path, a stable code, a sentence."""

    field: str
    code: str
    message: str


class MedsearchError(Exception):
    """Root of all expected errors."""

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.errors = errors
        self.retry_after = retry_after
        """Seconds after which the same call may succeed."""


class Invalid(MedsearchError):
    """The request cannot be understood or breaks a rule (422)."""

    code = "request.invalid"


class BadLink(MedsearchError):
    """A mailed link that was used, has ended, was replaced by a newer one, or never was one (400)."""

    code = "auth.link_invalid"


class Unauthenticated(MedsearchError):
    """No valid credentials (401)."""

    code = "auth.unauthenticated"


class Forbidden(MedsearchError):
    """The caller's role or right does not allow the operation (403)."""

    code = "access.forbidden"


class NotFound(MedsearchError):
    """Missing, or not visible to the caller: the two look the same (404)."""

    code = "not_found"


class Conflict(MedsearchError):
    """The state of the object does not allow the operation (409)."""

    code = "conflict"


class LeaseLost(Conflict):
    """The lease ran out or was given to somebody else: nothing was written, the work is abandoned."""

    code = "job.lease_lost"


class Gone(MedsearchError):
    """A cursor or link that was valid once (410)."""

    code = "gone"


class TooLarge(MedsearchError):
    """The body is over the limit (413)."""

    code = "request.too_large"


class UnsupportedMedia(MedsearchError):
    """The content type cannot be accepted (415)."""

    code = "request.unsupported_media_type"


class TooMany(MedsearchError):
    """Over a rate limit or the queue's length (429); carries `retry_after`."""

    code = "request.too_many"


class Unavailable(MedsearchError):
    """A store the request needs is away (503); carries `retry_after`."""

    code = "service.unavailable"


class StorageFull(Unavailable):
    """No room for the bytes (507): who waits for a store that is away waits for room too."""

    code = "storage.full"

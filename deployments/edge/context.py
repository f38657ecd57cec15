"""What is known of the current request wherever code runs on its behalf."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Set by the outermost middleware."""

    request_id: str = ""
    address: str = ""
    arrived_at: datetime = NEVER
    user_agent: str | None = None


CURRENT: ContextVar[RequestContext] = ContextVar("medsearch_request", default=RequestContext())  # noqa: B039 - frozen


def request_id() -> str:
    """The id of the current request (answered as `X-Request-ID`); empty outside of one."""
    return CURRENT.get().request_id


def address() -> str:
    """The sender's network address; forwarded-for headers count only from trusted proxies. May be empty."""
    return CURRENT.get().address


def user_agent() -> str | None:
    """What the sender says of its program: printable, at most 200 characters; None when it says nothing."""
    return CURRENT.get().user_agent


def arrived_at() -> datetime:
    """When the current request came in, before anything was done for it."""
    return CURRENT.get().arrived_at

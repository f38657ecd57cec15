"""Events of the platform: CloudEvents 1.0, at least once on the wire, once in effect. Never PHI, never query text."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.ids import new_id


class Topic(StrEnum):
    USER = "medical-ai-platform.user.events"
    DOCUMENT = "medical-ai-platform.document.events"
    SEARCH = "medical-ai-platform.search.events"
    NOTIFICATION = "medical-ai-platform.notification.events"
    SYSTEM = "medical-ai-platform.system.events"


class EventType(StrEnum):
    USER_REGISTERED = "user.registered"
    USER_LOGIN = "user.login"
    USER_LOGOUT = "user.logout"
    USER_ROLE_CHANGED = "user.role_changed"
    USER_STATUS_CHANGED = "user.status_changed"
    DOCUMENT_UPLOADED = "document.uploaded"
    DOCUMENT_STAGE_CHANGED = "document.stage_changed"
    DOCUMENT_PROCESSED = "document.processed"
    DOCUMENT_ACCESS_CHANGED = "document.access_changed"
    DOCUMENT_METADATA_CHANGED = "document.metadata_changed"
    DOCUMENT_DELETED = "document.deleted"
    SEARCH_PERFORMED = "search.performed"
    NOTIFICATION_REQUESTED = "notification.requested"
    NOTIFICATION_DELIVERED = "notification.delivered"
    NOTIFICATION_FAILED = "notification.failed"
    SYSTEM_STARTED = "system.started"
    SYSTEM_STOPPED = "system.stopped"
    SYSTEM_SCALED = "system.scaled"
    SYSTEM_ALERT = "system.alert"

    @property
    def topic(self) -> Topic:
        return Topic[self.value.partition(".")[0].upper()]


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent; `data` as in `docs/events.md`. `request_id` travels as an extension attribute."""

    type: EventType
    subject: str
    data: dict[str, Any]
    source: str
    request_id: str = ""
    id: UUID = field(default_factory=new_id)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def topic(self) -> Topic:
        return self.type.topic

    def to_cloudevent(self) -> dict[str, Any]:
        """The structured JSON form of CloudEvents 1.0."""
        return {
            "specversion": "1.0",
            "id": str(self.id),
            "source": self.source,
            "type": self.type.value,
            "subject": self.subject,
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "requestid": self.request_id,
            "data": self.data,
        }

    @classmethod
    def from_cloudevent(cls, value: dict[str, Any]) -> Event:
        """Inverse of `to_cloudevent`; raises `KeyError` or `ValueError` for what is not one of ours."""
        return cls(
            type=EventType(value["type"]),
            subject=value["subject"],
            data=value["data"],
            source=value["source"],
            request_id=value.get("requestid", ""),
            id=UUID(value["id"]),
            time=datetime.fromisoformat(value["time"]),
        )


@dataclass(frozen=True, slots=True)
class Position:
    """Where a subscriber stands in one partition of a topic: the offset of the last event it has taken."""

    topic: Topic
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event together with its place in the log."""

    event: Event
    position: Position

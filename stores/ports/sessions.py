"""Sessions as every application sees them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SessionState:
    """What every application must know of a session before it answers."""

    active: bool
    token_version: int
    principals: frozenset[str]
    """All of the account's, whether or not they count for its role (`domain.access.counting`)."""
    restriction: str | None = None
    """`mfa`: a second factor must be set up before anything else."""


class SessionDirectory(Protocol):
    """The published view `auth_db.api.session_state`, cached for at most half a second."""

    async def lookup(self, session_id: UUID) -> SessionState | None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ApiKeyState:
    """What every application must know of an API key before it answers."""

    secret_sha256: bytes = field(repr=False)
    active: bool
    scopes: frozenset[str]
    """Permissions that it was made for; they count as far as the owner's role has them."""
    principals: frozenset[str]
    """All of the owner's, as in `SessionState`."""
    second_factor: bool = False
    """Whether the owner has set one up."""


class ApiKeyDirectory(Protocol):
    """The published view `auth_db.api.api_key_state`, cached for at most half a second."""

    async def lookup(self, prefix: str) -> ApiKeyState | None: ...

    async def used(self, prefix: str) -> None:
        """Note that the key was used today."""
        ...

    async def close(self) -> None: ...


class SessionActivity(Protocol):
    """When sessions were last used, for idle limits. Goes on from what it knows itself while Redis is away."""

    async def use(self, session_id: UUID, *, issued_at: datetime, idle_seconds: int) -> bool:
        """Note a use now; False, and nothing noted, when the last one is longer ago than `idle_seconds`.

        The issue of the access token that is shown (`issued_at`) counts as a use.
        """
        ...

    async def last_used(self, session_ids: Collection[UUID]) -> dict[UUID, datetime]:
        """As far as it is known."""
        ...

    async def forget(self, session_id: UUID) -> None: ...

    async def close(self) -> None: ...

"""Limits by counting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a limit says: allowed or not, how many more now, seconds until the oldest one no longer counts."""

    allowed: bool
    remaining: int
    reset_seconds: float
    used: int = 0
    """How many count now."""


class RateLimiter(Protocol):
    """Counts by key in a moving window of `limit` in `seconds`. Goes on, stricter, while its server is away."""

    async def take(self, key: str, *, limit: int, seconds: int) -> Allowance:
        """Count one, if it is allowed."""
        ...

    async def peek(self, key: str, *, limit: int, seconds: int) -> Allowance:
        """As `take`, without counting."""
        ...

    async def give_back(self, key: str, *, limit: int, seconds: int) -> None:
        """Uncount one that was taken a moment ago: it was not what is counted."""
        ...

    async def forget(self, key: str, *, limit: int, seconds: int) -> None:
        """Start the key's window anew."""
        ...

    async def close(self) -> None: ...

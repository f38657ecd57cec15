"""`Idempotency-Key` of a creating request in `auth_db`: sent again it is answered again, and does nothing more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Header

from domain.access import Caller
from stores import idempotency

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key within 24 hours gives the same answer and has no second effect.",
    ),
]


@dataclass(frozen=True, slots=True)
class Once:
    """One use of a key; without a key every request counts."""

    use: idempotency.Use | None

    @classmethod
    def of(cls, caller: Caller, operation: str, key: str | None, asked: Mapping[str, Any]) -> Once:
        """`asked` is all that the request asks for (JSON), without what proves who asks."""
        if key is None:
            return cls(None)
        plain = json.dumps(asked, sort_keys=True, default=str).encode()
        fingerprint = hashlib.sha256(plain).hexdigest()
        return cls(idempotency.Use(UUID(caller.user_id), operation, key, fingerprint))

    async def known(self, connection: asyncpg.Connection) -> dict[str, Any] | None:
        """The body that was answered before; raises `Invalid` when the key was for something else."""
        answer = await idempotency.claim(connection, self.use) if self.use else None
        return answer.body if answer else None

    async def keep(self, connection: asyncpg.Connection, status: int, body: dict[str, Any]) -> None:
        if self.use:
            await idempotency.keep(connection, self.use, idempotency.Answer(status, body))

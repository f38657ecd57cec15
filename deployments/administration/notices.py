"""Mail to people who must know, waiting in the transaction of what they must know of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

import asyncpg

from domain.ids import new_id


class Notices(Protocol):
    """Queues one mail."""

    async def add(
        self, connection: asyncpg.Connection, account_id: UUID, template: str, parameters: Mapping[str, str]
    ) -> None:
        """To the account's present address; `parameters` hold nothing about a patient."""
        ...


class QueuedNotices:
    """`Notices` as rows of the table `mail`."""

    async def add(
        self, connection: asyncpg.Connection, account_id: UUID, template: str, parameters: Mapping[str, str]
    ) -> None:
        await connection.execute(
            "INSERT INTO mail (id, account_id, template, parameters) VALUES ($1, $2, $3, $4)",
            new_id(),
            account_id,
            template,
            dict(parameters),
        )

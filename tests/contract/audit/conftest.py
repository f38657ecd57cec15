"""An empty audit trail on the real Postgres, with hands that may do to it what nobody may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from cluster.databases import OWNER
from config.secrets import SecretStore
from config.settings import Settings
from domain.audit import AuditEvent
from stores.audit import PostgresAudit
from stores.audit_chain import AuditChain, Verification
from stores.audit_heads import Head
from stores.audit_sealing import AuditSealing
from stores.keyring import SecretKeys
from stores.ports import AuditEntry
from stores.postgres import Postgres, connect, database

SIX_YEARS = timedelta(days=2192)


@dataclass
class Trail:
    """Records, sealer and chain; `owner` can do everything."""

    settings: Settings
    secrets: SecretStore
    owner: asyncpg.Connection
    audit: PostgresAudit
    keys: SecretKeys
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    opened: list[Postgres] = field(default_factory=list)

    def db(self, role: str) -> Postgres:
        db = Postgres.of(self.settings, self.secrets, "audit", role)
        self.opened.append(db)
        return db

    def sealing(self, batch: int = 1000) -> AuditSealing:
        return AuditSealing(self.db("audit-sealer"), self.keys, batch=batch, clock=lambda: self.now)

    async def write(self, count: int = 1, **fields: Any) -> None:
        for number in range(count):
            values = {
                "action": "R", "event": AuditEvent.DOCUMENT_VIEW, "outcome": "success", "actor": "user:1",
                "role": "doctor", "request_id": f"r{number}", "query": "Müller", **fields,
            }  # fmt: skip
            await self.audit.record(AuditEntry(**values))

    async def seal(self, batch: int = 1000) -> int:
        """Seal everything that is there, in batches."""
        sealing, sealed = self.sealing(batch), 0
        while moved := await sealing.seal():
            sealed += moved
        return sealed

    async def verify(
        self, exported: Sequence[Head] = (), *, retention: timedelta = SIX_YEARS, page: int = 3
    ) -> Verification:
        chain = AuditChain(self.db("audit-reader"), self.keys, retention=retention, page=page)
        return await chain.verify(exported)

    async def heads(self) -> list[Head]:
        return [Head.of(row) for row in await self.owner.fetch("SELECT * FROM audit_head ORDER BY seq")]

    async def record_at(self, seq: int) -> UUID:
        found: UUID = await self.owner.fetchval("SELECT record_id FROM audit_link WHERE seq = $1", seq)
        return found


@pytest.fixture
async def trail(settings: Settings, secrets: SecretStore) -> AsyncIterator[Trail]:
    owner = await connect(database(settings, "audit", OWNER), secrets)
    await owner.execute("TRUNCATE audit_record, audit_link, audit_head")
    audit = PostgresAudit.of(settings, secrets)
    made = Trail(settings, secrets, owner, audit, SecretKeys.of(settings, secrets))
    yield made
    for db in made.opened:
        await db.close()
    await audit.close()
    await owner.close()

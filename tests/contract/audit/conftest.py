"""An empty audit trail on the real Postgres, with hands that may do to it what nobody may, and who reads it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from cluster.databases import OWNER
from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.app import build_app
from deployments.edge.environment import Edge
from deployments.edge.token_verifier import TokenVerifier
from domain.audit import AuditEvent
from domain.ids import new_id
from domain.tokens import Claims, SigningKey
from stores.audit import PostgresAudit
from stores.audit_chain import AuditChain, Verification
from stores.audit_heads import Head
from stores.audit_sealing import AuditSealing
from stores.keyring import SecretKeys
from stores.ports import AuditEntry, SessionState
from stores.postgres import Postgres, connect, database
from tests.contract.documents.conftest import NoLimit, Sessions, SwitchableAudit
from tests.unit.edge.doubles import HeldActivity, HeldKeys

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


@dataclass
class Office:
    """The application with accounts made by the test."""

    app: FastAPI
    trail: Trail
    audit: SwitchableAudit
    sessions: Sessions
    key: SigningKey
    keys: HeldKeys

    def somebody(self, role: str = "privacy_officer", *principals: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://test/api/v1",
            headers={"Authorization": f"Bearer {self.token(role, *principals)}"},
        )

    def token(self, role: str = "privacy_officer", *principals: str) -> str:
        """An access token of an account that is new."""
        user, session = new_id(), new_id()
        known = frozenset({f"user:{user}", f"role:{role}", *principals})
        self.sessions.states[session] = SessionState(True, 1, known)
        now = int(time.time())
        claims = Claims(user, session, role, 1, now, now + 600, new_id())
        return self.key.issue(claims, issuer="medsearch", audience="medsearch-api")

    async def recorded(self, event: str) -> list[dict[str, Any]]:
        rows = await self.trail.owner.fetch(
            "SELECT * FROM audit_record WHERE event = $1 ORDER BY position", event
        )
        return [dict(row) for row in rows]


@pytest.fixture
async def office(
    trail: Trail, settings: Settings, secrets: SecretStore, tmp_path: Path
) -> AsyncIterator[Office]:
    key = SigningKey.generate()
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.public_jwk()]}))
    keys = HeldKeys()
    sessions, audit = Sessions(), SwitchableAudit(PostgresAudit.of(settings, secrets))
    edge = Edge(
        settings=settings,
        secrets=secrets,
        policy=AccessPolicy.load(),
        sessions=sessions,
        audit=audit,
        limiter=NoLimit(),
        tokens=TokenVerifier(jwks, issuer="medsearch", audience="medsearch-api"),
        keys=SecretKeys.of(settings, secrets),
        activity=HeldActivity(),
        api_keys=keys,
    )
    app = build_app(settings, secrets, edge=edge)
    async with app.router.lifespan_context(app):
        yield Office(app, trail, audit, sessions, key, keys)

"""The ports of the edge as plain objects, and an edge made of them."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from config.account_settings import AuthSettings
from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import HttpSettings, Settings
from deployments.edge.environment import Edge
from deployments.edge.token_verifier import TokenVerifier
from domain.api_keys import ApiKey
from domain.errors import Unavailable
from domain.ids import new_id
from domain.tokens import Claims, SigningKey
from stores.keyring import SecretKeys
from stores.ports import Allowance, ApiKeyState, AuditEntry, SessionState


@dataclass
class HeldSessions:
    """A directory one can write in."""

    states: dict[UUID, SessionState] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    async def lookup(self, session_id: UUID) -> SessionState | None:
        self.asked += 1
        if self.away:
            raise Unavailable("The database is away.", retry_after=2)
        return self.states.get(session_id)

    async def close(self) -> None:
        return None


@dataclass
class HeldAudit:
    """A trail that can be read."""

    entries: list[AuditEntry] = field(default_factory=list)
    away: bool = False

    async def record(self, entry: AuditEntry) -> None:
        if self.away:
            raise Unavailable("The trail is away.", code="audit.unavailable", retry_after=2)
        self.entries.append(entry)

    def seal(self, entry: AuditEntry) -> dict[str, Any]:
        return {"event": entry.event}

    async def close(self) -> None:
        return None


@dataclass
class HeldActivity:
    """Sessions are in use unless they are said to be idle."""

    idle: set[UUID] = field(default_factory=set)
    used: dict[UUID, datetime] = field(default_factory=dict)

    async def use(self, session_id: UUID, *, issued_at: datetime, idle_seconds: int) -> bool:
        if session_id not in self.idle:
            self.used[session_id] = datetime.now(UTC)
        return session_id not in self.idle

    async def last_used(self, session_ids: Collection[UUID]) -> dict[UUID, datetime]:
        return {one: self.used[one] for one in session_ids if one in self.used}

    async def forget(self, session_id: UUID) -> None:
        self.used.pop(session_id, None)

    async def close(self) -> None:
        return None


@dataclass
class HeldKeys:
    """A directory of API keys one can write in."""

    states: dict[str, ApiKeyState] = field(default_factory=dict)
    uses: list[str] = field(default_factory=list)

    async def lookup(self, prefix: str) -> ApiKeyState | None:
        return self.states.get(prefix)

    async def used(self, prefix: str) -> None:
        self.uses.append(prefix)

    async def close(self) -> None:
        return None


@dataclass
class CountingLimiter:
    """Windows that never end."""

    counts: dict[str, int] = field(default_factory=dict)

    async def take(self, key: str, *, limit: int, seconds: int) -> Allowance:
        allowance = await self.peek(key, limit=limit, seconds=seconds)
        if allowance.allowed:
            self.counts[key] = self.counts.get(key, 0) + 1
        return Allowance(
            allowance.allowed, max(0, allowance.remaining - 1), seconds, limit - allowance.remaining + 1
        )

    async def peek(self, key: str, *, limit: int, seconds: int) -> Allowance:
        left = limit - self.counts.get(key, 0)
        return Allowance(left > 0, left, seconds, limit - left)

    async def forget(self, key: str, *, limit: int, seconds: int) -> None:
        self.counts.pop(key, None)

    async def close(self) -> None:
        return None


class Stand:
    """An edge in a folder, with the doubles in reach."""

    def __init__(self, folder: Path, *, auth: AuthSettings | None = None, **http: Any) -> None:
        self.settings = Settings(data_dir=folder, http=HttpSettings(**http), auth=auth or AuthSettings())
        self.key = SigningKey.generate()
        self.sessions = HeldSessions()
        self.audit = HeldAudit()
        self.limiter = CountingLimiter()
        self.activity = HeldActivity()
        self.api_keys = HeldKeys()
        path = self.settings.jwks_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"keys": [self.key.public_jwk()]}))
        audience = self.settings.auth.audience
        self.edge = Edge(
            settings=self.settings,
            secrets=SecretStore(self.settings.secrets_path),
            policy=AccessPolicy.load(),
            sessions=self.sessions,
            audit=self.audit,
            limiter=self.limiter,
            tokens=TokenVerifier(path, issuer=self.settings.token_issuer, audience=audience),
            keys=SecretKeys.of(self.settings, SecretStore(self.settings.secrets_path)),
            activity=self.activity,
            api_keys=self.api_keys,
        )

    def api_key(self, role: str, **state: Any) -> dict[str, str]:
        """The header of a program whose key was made for all that the owner may do, but for `state`."""
        key = ApiKey.generate()
        principals = frozenset({f"user:{new_id()}", f"role:{role}"})
        known = {"active": True, "scopes": self.edge.policy.permissions(role), "principals": principals}
        self.api_keys.states[key.prefix] = ApiKeyState(key.digest, **(known | state))
        return {"Authorization": f"Bearer {key.text}"}

    def bearer(
        self, role: str = "doctor", *, version: int = 1, also: Collection[str] = (), **state: Any
    ) -> dict[str, str]:
        """The header of somebody with a session and the principals `also`; `state` overrides what the directory says of it."""
        user, session = new_id(), new_id()
        known = {
            "active": True,
            "token_version": 1,
            "principals": frozenset({f"user:{user}", f"role:{role}", *also}),
        }
        self.sessions.states[session] = SessionState(**(known | state))
        now = int(time.time())
        claims = Claims(user, session, role, version, now, now + 600, new_id())
        auth = self.settings.auth
        issuer = self.settings.token_issuer
        return {"Authorization": "Bearer " + self.key.issue(claims, issuer=issuer, audience=auth.audience)}

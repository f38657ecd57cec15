"""The API keys of one's own account: made, listed, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from config.policy import AccessPolicy
from deployments.administration.once import Once
from deployments.auth.api_key_schemas import KeyAnswer
from deployments.auth.credentials import Credentials, insist_on_account
from deployments.auth.trail import AccountTrail
from deployments.edge.context import request_id
from domain.access import Caller
from domain.api_keys import NEVER, ApiKey
from domain.audit import AuditEvent
from domain.errors import Conflict, FieldError, Invalid, NotFound
from domain.mail import MailKind
from stores.api_keys import ApiKeys, KeptKey
from stores.mail.queue import MailQueue
from stores.postgres import Postgres

LONGEST_LIFE = timedelta(days=366)
MOST_KEYS = 50


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for who wants a key."""

    name: str
    scopes: frozenset[str]
    expires_at: datetime
    password: str = field(repr=False)
    otp: str | None = field(repr=False)


class ApiKeyService:
    """A key never has more rights than its owner has at the moment of its use."""

    def __init__(
        self, db: Postgres, *, credentials: Credentials, trail: AccountTrail, policy: AccessPolicy
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._trail = trail
        self._policy = policy

    async def create(self, caller: Caller, wish: Wish, once: Once) -> KeyAnswer:
        """The key, its secret in clear this once. Raises `Invalid`, `TooMany`, `Conflict` (too many keys)."""
        self._check(caller, wish)
        user = UUID(caller.user_id)
        confirmed = await self._credentials.confirm(user, wish.password, wish.otp, session=caller.session_id)
        key = ApiKey.generate()
        async with self._db.transaction() as connection:
            await insist_on_account(connection, caller, confirmed)
            if known := await once.known(connection):
                return KeyAnswer.model_validate(known)
            keys = ApiKeys(connection)
            if await keys.count(user) >= MOST_KEYS:
                raise Conflict("Revoke a key first: there are too many.", code="apikey.too_many")
            kept = await keys.add(user, key, name=wish.name, scopes=wish.scopes, expires_at=wish.expires_at)
            await self._record(connection, AuditEvent.API_KEY_CREATED, caller, key.prefix)
            await MailQueue.add(connection, user, MailKind.API_KEY_CREATED, request_id=request_id())
            answer = KeyAnswer.of(kept)
            await once.keep(connection, 201, answer.model_dump(mode="json"))
        return answer.model_copy(update={"secret": key.text})

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[KeptKey]:
        """The newest `limit`, those older than `before`."""
        async with self._db.connection() as connection:
            return await ApiKeys(connection).list(UUID(caller.user_id), before=before, limit=limit)

    async def revoke(self, caller: Caller, key_id: UUID) -> None:
        """It is refused everywhere within a second. Raises `NotFound`."""
        async with self._db.transaction() as connection:
            prefix = await ApiKeys(connection).revoke(UUID(caller.user_id), key_id)
            if prefix is None:
                raise NotFound("There is no such key, or it was revoked before.")
            await self._record(connection, AuditEvent.API_KEY_REVOKED, caller, prefix)

    def _check(self, caller: Caller, wish: Wish) -> None:
        allowed = self._policy.permissions(caller.role) - NEVER
        if refused := sorted(wish.scopes - allowed):
            error = FieldError("scopes", "not_allowed", f"Your role cannot give: {', '.join(refused)}.")
            raise Invalid("A key can have rights of your role only.", errors=(error,))
        now = datetime.now(UTC)
        if not now < wish.expires_at <= now + LONGEST_LIFE:
            error = FieldError("expires_at", "out_of_range", "A key ends in the future, within a year.")
            raise Invalid("The end of the key is not possible.", errors=(error,))

    async def _record(
        self, connection: asyncpg.Connection, event: AuditEvent, caller: Caller, reason: str
    ) -> None:
        await self._trail.record(
            connection,
            event,
            action="C" if event is AuditEvent.API_KEY_CREATED else "D",
            user=UUID(caller.user_id),
            role=caller.role,
            session=caller.session_id,
            reason=reason,
        )

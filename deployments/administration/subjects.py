"""One administrative act: the account it is about, locked and checked; what is refused is recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from deployments.administration.rights import AdministrationRights
from deployments.auth.trail import AccountTrail
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Forbidden, NotFound
from stores.account_lists import AccountLists, SeenAccount
from stores.accounts import Accounts
from stores.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Act:
    """Who does what, by which permission, and why."""

    caller: Caller
    permission: str
    event: AuditEvent
    reason: str | None = None
    action: str = "U"


class Subjects:
    """Opens accounts for acts. Acts come one after the other, over all replicas."""

    def __init__(self, db: Postgres, rights: AdministrationRights, trail: AccountTrail) -> None:
        self.rights = rights
        self._db = db
        self._trail = trail

    @asynccontextmanager
    async def change(
        self, act: Act, account_id: UUID
    ) -> AsyncIterator[tuple[asyncpg.Connection, SeenAccount]]:
        """A transaction with the account in it, for whoever may change it; `NotFound`, `Forbidden` else."""
        async with self.transaction(act, account_id) as connection:
            accounts = Accounts(connection)
            await accounts.one_administration_at_a_time()
            await accounts.by_id(account_id, lock=True)
            yield connection, await self.checked(connection, act, account_id)

    async def checked(self, connection: asyncpg.Connection, act: Act, account_id: UUID) -> SeenAccount:
        """The account, for whoever may change it."""
        subject = await AccountLists(connection).one(account_id)
        return self.rights.check_change(act.caller, act.permission, subject)

    @asynccontextmanager
    async def transaction(self, act: Act, account_id: UUID | None) -> AsyncIterator[asyncpg.Connection]:
        """A transaction; what is refused within, by right or as missing, is recorded after its end."""
        try:
            async with self._db.transaction() as connection:
                yield connection
        except (Forbidden, NotFound) as error:
            async with self._db.transaction() as connection:
                await self.record(connection, act, account_id, outcome="denied", reason=error.code)
            raise

    async def record(
        self,
        connection: asyncpg.Connection,
        act: Act,
        about: UUID | None,
        *,
        outcome: str = "success",
        reason: str | None = None,
        names: Mapping[str, str] | None = None,
        patient: str | None = None,
        patients: Collection[str] = (),
    ) -> None:
        """`patients`: those that were shown besides `patient`."""
        caller = act.caller
        await self._trail.record(
            connection,
            act.event,
            user=UUID(caller.user_id),
            action=act.action,
            outcome=outcome,
            role=caller.role,
            session=caller.through,
            reason=reason or act.reason,
            about=about,
            names=names,
            patient=patient,
            patients=patients,
        )

"""What administrators do with accounts: one transaction each, with its record and its event."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import asyncpg

from config.account_settings import Role
from deployments.administration.subjects import Act, Subjects
from deployments.auth.identifiers import folded
from deployments.auth.trail import AccountTrail
from deployments.edge.context import request_id
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Conflict
from domain.events import EventType
from domain.mail import MailKind
from stores.account_lists import AccountFilters, AccountLists, SeenAccount
from stores.accounts import Accounts
from stores.break_glass_ends import BreakGlassEnds
from stores.mail.queue import MailQueue
from stores.refresh_tokens import Sessions

READ = "account.read"


class Throttle(Protocol):
    """The windows of wrong passwords (`deployments.auth.throttle.LoginThrottle`)."""

    async def forget(self, identifier: str) -> None: ...


class AdministrationService:
    """`session_seconds`: longest session by role; `mfa_roles` must have a second factor."""

    def __init__(
        self,
        subjects: Subjects,
        *,
        trail: AccountTrail,
        throttle: Throttle,
        ends: BreakGlassEnds,
        session_seconds: Mapping[Role, int],
        mfa_roles: Collection[str],
    ) -> None:
        self._subjects = subjects
        self._trail = trail
        self._throttle = throttle
        self._ends = ends
        self._lives = {str(role): timedelta(seconds=seconds) for role, seconds in session_seconds.items()}
        self._mfa_roles = frozenset(mfa_roles)

    async def page(
        self, caller: Caller, filters: AccountFilters, *, after: UUID | None, limit: int
    ) -> list[SeenAccount]:
        """Accounts in the caller's reach, one more than `limit` when there is a next page; recorded."""
        act = Act(caller, READ, AuditEvent.ACCOUNTS_LISTED, action="R")
        async with self._subjects.transaction(act, None) as connection:
            found = await AccountLists(connection).page(filters, after=after, limit=limit + 1)
            patients = [one.own_record for one in found[:limit] if one.own_record]
            await self._subjects.record(connection, act, None, names=filters.said(), patients=patients)
        return found

    def within(self, caller: Caller) -> frozenset[str] | None:
        """The departments whose accounts the caller sees; None: all."""
        return self._subjects.rights.within(caller, READ)

    async def view(self, caller: Caller, account_id: UUID) -> SeenAccount:
        act = Act(caller, READ, AuditEvent.ACCOUNT_VIEWED, action="R")
        async with self._subjects.transaction(act, account_id) as connection:
            subject = await AccountLists(connection).one(account_id)
            found = self._subjects.rights.check_seen(caller, READ, subject)
            await self._subjects.record(connection, act, account_id, patient=found.own_record)
        return found

    async def approve(self, caller: Caller, account_id: UUID, role: str) -> SeenAccount:
        """Give the role that was asked for. Raises `Conflict` when it is another one by now."""
        act = Act(caller, "role.approve", AuditEvent.ROLE_APPROVED)
        async with self._subjects.change(act, account_id) as (connection, subject):
            if subject.account.requested_role != role:
                raise _request_changed()
            await self._give(connection, act, subject, role)
            return await _now(connection, account_id)

    async def refuse(self, caller: Caller, account_id: UUID, reason: str) -> SeenAccount:
        """Drop the request; the account stays what it is. Raises `Conflict` when nothing is asked for."""
        act = Act(caller, "role.approve", AuditEvent.ROLE_REFUSED, reason)
        async with self._subjects.change(act, account_id) as (connection, subject):
            asked = subject.account.requested_role
            if asked is None:
                raise _request_changed()
            await Accounts(connection).drop_request(account_id)
            await self._trail.event(
                connection, EventType.USER_ROLE_CHANGED, account_id, {"outcome": "refused"}
            )
            await _tell(connection, account_id, MailKind.ROLE_REFUSED, role=asked)
            await self._subjects.record(connection, act, account_id, names={"role": asked})
            return await _now(connection, account_id)

    async def assign(self, caller: Caller, account_id: UUID, role: str, reason: str) -> SeenAccount:
        """Give any role. Raises `Conflict` for the last administrator."""
        act = Act(caller, "role.assign", AuditEvent.ROLE_CHANGED, reason)
        async with self._subjects.change(act, account_id) as (connection, subject):
            if role != "admin":
                await _check_not_last(connection, subject)
            await self._give(connection, act, subject, role)
            return await _now(connection, account_id)

    async def suspend(self, caller: Caller, account_id: UUID, reason: str) -> SeenAccount:
        """Nobody logs in to it, and its sessions have ended for good. Raises `Conflict` for the last administrator.

        What it uploaded before is processed and stays.
        """
        act = Act(caller, "account.suspend", AuditEvent.SUSPENDED, reason)
        async with self._subjects.change(act, account_id) as (connection, subject):
            await _check_not_last(connection, subject)
            await Sessions(connection).end_others(account_id, None, "suspended")
            return await self._set_status(connection, act, subject, "suspended")

    async def activate(self, caller: Caller, account_id: UUID, reason: str) -> SeenAccount:
        """Let somebody log in again. Raises `Conflict` for an account that is closed for good."""
        act = Act(caller, "account.suspend", AuditEvent.ACTIVATED, reason)
        async with self._subjects.change(act, account_id) as (connection, subject):
            if subject.account.status == "closed":
                raise Conflict("A closed account stays closed.", code="account.closed")
            return await self._set_status(connection, act, subject, "active")

    async def unlock(self, caller: Caller, account_id: UUID, reason: str) -> SeenAccount:
        """Let somebody try passwords again who tried too many."""
        act = Act(caller, "account.unlock", AuditEvent.UNLOCKED, reason)
        async with self._subjects.change(act, account_id) as (connection, subject):
            await self._subjects.record(connection, act, account_id)
        await self._throttle.forget(folded(subject.account.email))
        return subject

    async def set_departments(
        self, caller: Caller, account_id: UUID, departments: Sequence[str]
    ) -> SeenAccount:
        """These departments and no others."""
        act = Act(caller, "account.departments", AuditEvent.DEPARTMENTS_CHANGED)
        async with self._subjects.change(act, account_id) as (connection, subject):
            await Accounts(connection).set_departments(account_id, departments)
            names = {"before": ", ".join(subject.departments), "after": ", ".join(sorted(departments))}
            await self._subjects.record(connection, act, account_id, names=names)
            return await _now(connection, account_id)

    async def set_own_record(self, caller: Caller, account_id: UUID, patient: str) -> SeenAccount:
        """The person is this patient, and no other. Raises `Conflict` for a role that it opens nothing for."""
        act = Act(caller, "account.own_record", AuditEvent.OWN_RECORD_SET)
        async with self._subjects.change(act, account_id) as (connection, subject):
            self._subjects.rights.check_counts(subject.account.role, "self")
            accounts = Accounts(connection)
            await accounts.remove_own_records(account_id)
            await accounts.set_own_record(account_id, patient, UUID(caller.user_id))
            await self._subjects.record(connection, act, account_id, patient=patient)
            return await _now(connection, account_id)

    async def remove_own_record(self, caller: Caller, account_id: UUID) -> SeenAccount:
        act = Act(caller, "account.own_record", AuditEvent.OWN_RECORD_REMOVED, action="D")
        async with self._subjects.change(act, account_id) as (connection, _):
            for patient in await Accounts(connection).remove_own_records(account_id):
                await self._subjects.record(connection, act, account_id, patient=patient)
            return await _now(connection, account_id)

    async def _give(self, connection: asyncpg.Connection, act: Act, subject: SeenAccount, role: str) -> None:
        account_id = subject.account.id
        await Accounts(connection).set_role(account_id, role)
        await Sessions(connection).cap(account_id, self._lives[role], second_factor=role in self._mfa_roles)
        await self._ends.close(connection, account_id=account_id)
        await self._trail.event(connection, EventType.USER_ROLE_CHANGED, account_id, {"outcome": "success"})
        approved = act.event is AuditEvent.ROLE_APPROVED
        await _tell(
            connection, account_id, MailKind.ROLE_APPROVED if approved else MailKind.ROLE_CHANGED, role=role
        )
        names = {"role": role, "before": subject.account.role}
        await self._subjects.record(connection, act, account_id, names=names)

    async def _set_status(
        self, connection: asyncpg.Connection, act: Act, subject: SeenAccount, status: str
    ) -> SeenAccount:
        account_id = subject.account.id
        if subject.account.status != status:
            await Accounts(connection).set_status(account_id, status)
            await self._ends.close(connection, account_id=account_id)
            await self._trail.event(
                connection, EventType.USER_STATUS_CHANGED, account_id, {"outcome": "success"}
            )
            await _tell(
                connection, account_id, MailKind.ACTIVATED if status == "active" else MailKind.SUSPENDED
            )
        await self._subjects.record(connection, act, account_id)
        return await _now(connection, account_id)


async def _check_not_last(connection: asyncpg.Connection, subject: SeenAccount) -> None:
    account = subject.account
    if account.role != "admin" or not account.active:
        return
    if not await Accounts(connection).other_administrators(account.id):
        raise Conflict("This is the last administrator. Make another one first.", code="account.last_admin")


async def _tell(connection: asyncpg.Connection, account_id: UUID, kind: MailKind, **parameters: str) -> None:
    await MailQueue.add(connection, account_id, kind, parameters, request_id=request_id())


async def _now(connection: asyncpg.Connection, account_id: UUID) -> SeenAccount:
    found = await AccountLists(connection).one(account_id)
    assert found is not None  # noqa: S101 - locked by this transaction
    return found


def _request_changed() -> Conflict:
    return Conflict(
        "The account does not ask for this role now. Read it again before you decide.",
        code="account.request_changed",
    )

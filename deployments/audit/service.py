"""Reading the trail. Whoever reads it is recorded in it, before the answer leaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from pydantic import BaseModel

from deployments.audit import schemas
from deployments.edge.context import address, request_id
from deployments.edge.cursors import CursorSigner
from deployments.edge.schemas import Page
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Forbidden, Invalid
from domain.tokens import public_jwk
from stores.audit_chain import AuditChain
from stores.ports import AuditEntry, AuditLog, AuditQuestion, AuditReader, AuditRecord, Keys, Purpose

FIGURES = timedelta(days=30)
"""Figures go so far back when nothing else is asked."""
LONGEST = timedelta(days=366)
OWN = "self:"


class AuditService:
    """What privacy officers, patients and administrators may know of the trail. Raises `Unavailable`."""

    def __init__(
        self,
        reader: AuditReader,
        chain: AuditChain,
        keys: Keys,
        audit: AuditLog,
        cursors: CursorSigner,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._chain = chain
        self._keys = keys
        self._audit = audit
        self._cursors = cursors
        self._clock = clock

    async def page(self, caller: Caller, asked: schemas.ListParameters) -> Page[schemas.AuditView]:
        """Records, newest first. Raises `Gone` for a cursor of another question."""
        records, following = await self._page(caller, asked.question(), asked, "audit")
        await self._recorded(
            caller, AuditEvent.AUDIT_READ, asked, patient=asked.patient, document_id=asked.document_id
        )
        return Page(items=[schemas.AuditView.of(record) for record in records], next_cursor=following)

    async def own(self, caller: Caller, asked: schemas.OwnParameters) -> Page[schemas.OwnAccess]:
        """Accesses to the account's own record; none for an account without one."""
        patient = await self._own_record(caller, asked)
        if patient is None:
            await self._recorded(caller, AuditEvent.AUDIT_OWN, asked)
            return Page(items=[])
        question = AuditQuestion(
            patient=patient, since=schemas.utc(asked.from_), before=schemas.utc(asked.to)
        )
        records, following = await self._page(caller, question, asked, "own")
        await self._recorded(caller, AuditEvent.AUDIT_OWN, asked, patient=patient)
        return Page(items=[schemas.OwnAccess.of(record) for record in records], next_cursor=following)

    async def readers(self, caller: Caller, asked: schemas.PatientParameters) -> schemas.Readers:
        """Who saw the patient, the last first."""
        since, before = schemas.utc(asked.from_), schemas.utc(asked.to)
        found = await self._reader.readers(asked.patient, since=since, before=before)
        await self._recorded(caller, AuditEvent.AUDIT_READERS, asked, patient=asked.patient)
        items = [
            schemas.ReaderView(
                actor=one.actor,
                role=one.role,
                first_at=one.first_at,
                last_at=one.last_at,
                count=one.count,
                break_glass=one.break_glass,
            )
            for one in found
        ]
        return schemas.Readers(patient=asked.patient, items=items)

    async def figures(self, caller: Caller, asked: schemas.PeriodParameters) -> schemas.Figures:
        """Counts, of the last 30 days unless asked otherwise; raises `Invalid` for more than 366 days."""
        before = schemas.utc(asked.to) or self._clock()
        since = schemas.utc(asked.from_) or before - FIGURES
        if before - since > LONGEST:
            raise Invalid("Ask for 366 days at most.", code="audit.period_too_long")
        found = await self._reader.figures(since=since, before=before)
        await self._recorded(caller, AuditEvent.AUDIT_FIGURES, asked)
        items = [
            schemas.Figure(day=one.day, event=one.event, outcome=one.outcome, count=one.count)
            for one in found
        ]
        return schemas.Figures(items=items)

    async def export(self, caller: Caller, asked: schemas.QuestionParameters) -> AsyncIterator[AuditRecord]:
        """All records that the question selects, oldest first; recorded before the first is read."""
        await self._recorded(
            caller, AuditEvent.AUDIT_EXPORT, asked, patient=asked.patient, document_id=asked.document_id
        )
        return self._reader.stream(asked.question())

    async def heads(self, caller: Caller, since: date | None) -> schemas.Heads:
        """The last head of each day, with what verifies them."""
        found = await self._chain.heads(since=since)
        keys = [key for key in self._keys.list(Purpose.AUDIT_HEAD) if key.public is not None]
        await self._recorded(caller, AuditEvent.AUDIT_HEADS)
        return schemas.Heads(
            items=[schemas.HeadView.of(head) for head in found],
            keys=[public_jwk(key.kid, key.public) for key in keys if key.public],
        )

    async def _page(
        self,
        caller: Caller,
        question: AuditQuestion,
        asked: schemas.ListParameters | schemas.OwnParameters,
        name: str,
    ) -> tuple[list[AuditRecord], str | None]:
        bound_to = f"{name}:{caller.user_id}:{_said(asked)}"
        after = None
        if asked.cursor is not None:
            at, last = self._cursors.verify(asked.cursor, bound_to=bound_to)["after"]
            after = (datetime.fromisoformat(at), UUID(last))
        found = await self._reader.page(question, after=after, limit=asked.limit + 1)
        shown = found[: asked.limit]
        if len(found) <= asked.limit:
            return shown, None
        position = (shown[-1].at.isoformat(), str(shown[-1].id))
        return shown, self._cursors.sign({"after": position}, bound_to=bound_to)

    async def _own_record(self, caller: Caller, asked: schemas.OwnParameters) -> str | None:
        own = sorted(one.removeprefix(OWN) for one in caller.principals if one.startswith(OWN))
        if asked.patient is not None and asked.patient not in own:
            await self._recorded(caller, AuditEvent.AUDIT_OWN, asked, patient=asked.patient, outcome="denied")
            raise Forbidden("This is not the record of this account.", code="audit.not_own_record")
        if asked.patient is None and len(own) > 1:
            raise Invalid("This account has several records: say which.", code="audit.patient_needed")
        return asked.patient or (own[0] if own else None)

    async def _recorded(
        self,
        caller: Caller,
        event: AuditEvent,
        asked: BaseModel | None = None,
        *,
        patient: str | None = None,
        document_id: UUID | None = None,
        outcome: str = "success",
    ) -> None:
        said = _said(asked) if asked else ""
        await self._audit.record(
            AuditEntry(
                action="R",
                event=event,
                outcome=outcome,
                actor=f"user:{caller.user_id}",
                role=caller.role,
                patient=patient,
                document_ids=(document_id,) if document_id else (),
                address=address() or None,
                request_id=request_id(),
                session_id=caller.through,
                names={"request": said} if said not in ("", "{}") else {},
            )
        )


def _said(asked: BaseModel) -> str:
    """The conditions of a request, without its place in the list, always written the same."""
    said = asked.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"cursor", "limit"})
    return json.dumps(said, sort_keys=True)

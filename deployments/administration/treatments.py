"""Treatment relations: who may see a patient's documents because of treating them, until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from deployments.administration.once import Once
from deployments.administration.schemas import TreatmentAnswer
from deployments.administration.subjects import Act, Subjects
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Conflict, FieldError, Invalid, NotFound
from stores.accounts import Accounts
from stores.treatments import Treatment, TreatmentFilters, Treatments

PERMISSION = "treatment.manage"
LONGEST = timedelta(days=366)


class TreatmentService:
    """Every relation has an end: it is begun for a year at most, and begun anew when it goes on."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects

    async def begin(
        self, caller: Caller, account_id: UUID, patient: str, ends_at: datetime, once: Once
    ) -> TreatmentAnswer:
        """From now until `ends_at`. Raises `Invalid`, `Conflict` for a role that it opens nothing for."""
        _check_end(ends_at)
        act = Act(caller, PERMISSION, AuditEvent.TREATMENT_BEGUN, action="C")
        async with self._subjects.change(act, account_id) as (connection, subject):
            if known := await once.known(connection):
                return TreatmentAnswer.model_validate(known)
            self._subjects.rights.check_counts(subject.account.role, "treating")
            treatment = await Treatments(connection).add(account_id, patient, ends_at, UUID(caller.user_id))
            await self._subjects.record(connection, act, account_id, patient=patient)
            answer = TreatmentAnswer.of(treatment)
            await once.keep(connection, 201, answer.model_dump(mode="json"))
        return answer

    async def end(self, caller: Caller, relation_id: UUID, reason: str) -> Treatment:
        """End it now. Raises `NotFound`, `Conflict` when it had ended before."""
        act = Act(caller, PERMISSION, AuditEvent.TREATMENT_ENDED, reason)
        async with self._subjects.transaction(act, None) as connection:
            await Accounts(connection).one_administration_at_a_time()
            treatments = Treatments(connection)
            found = await treatments.find(relation_id)
            if found is None:
                raise _missing()
            try:
                await self._subjects.checked(connection, act, found.account_id)
            except NotFound:
                raise _missing() from None
            ended = await treatments.end(relation_id)
            if ended is None:
                raise Conflict("This treatment relation has ended before.", code="treatment.ended")
            await self._subjects.record(connection, act, found.account_id, patient=found.patient)
        return ended

    async def page(
        self, caller: Caller, filters: TreatmentFilters, *, after: UUID | None, limit: int
    ) -> list[Treatment]:
        """Relations of accounts in the caller's reach, one more than `limit` when there is a next page; recorded."""
        act = Act(caller, PERMISSION, AuditEvent.TREATMENTS_LISTED, action="R")
        async with self._subjects.transaction(act, None) as connection:
            found = await Treatments(connection).page(filters, after=after, limit=limit + 1)
            await self._subjects.record(
                connection,
                act,
                filters.account_id,
                names=filters.said(),
                patient=filters.patient,
                patients=[one.patient for one in found[:limit]],
            )
        return found

    def within(self, caller: Caller) -> frozenset[str] | None:
        """The departments whose relations the caller sees; None: all."""
        return self._subjects.rights.within(caller, PERMISSION)


def _check_end(ends_at: datetime) -> None:
    now = datetime.now(UTC)
    if not now < ends_at <= now + LONGEST:
        error = FieldError("ends_at", "out_of_range", f"Choose an end within {LONGEST.days} days from now.")
        raise Invalid("A treatment relation ends, within a year.", errors=(error,))


def _missing() -> NotFound:
    return NotFound("There is no such treatment relation.", code="treatment.not_found")

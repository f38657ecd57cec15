"""What operators do: look at the queue, try a document again, stop and resume the giving out of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from deployments.edge.context import address, request_id
from deployments.edge.cursors import CursorSigner
from deployments.edge.schemas import Page
from deployments.processing.schemas import JobView, Stats
from domain.access import Caller
from domain.audit import AuditEvent
from domain.lifecycle import Status
from stores.job_reports import JobReports
from stores.jobs import JobStore
from stores.ports import AuditEntry, AuditLog
from stores.workers import WorkerStore


class ProcessingService:
    """Every command leaves its audit record in the transaction that carries it out."""

    def __init__(
        self,
        jobs: JobStore,
        reports: JobReports,
        workers: WorkerStore,
        audit: AuditLog,
        cursors: CursorSigner,
    ) -> None:
        self._jobs = jobs
        self._reports = reports
        self._workers = workers
        self._audit = audit
        self._cursors = cursors

    async def stats(self) -> Stats:
        return Stats.of(
            await self._reports.stats(),
            await self._reports.indexed(),
            await self._workers.live(),
            list(await self._workers.decisions()),
        )

    async def jobs(
        self,
        caller: Caller,
        statuses: Sequence[Status],
        document_id: UUID | None,
        limit: int,
        cursor: str | None,
    ) -> Page[JobView]:
        """A page of jobs, oldest first; raises `Gone` for a cursor of another question."""
        wanted = [status.value for status in statuses]
        binding = f"jobs:{caller.user_id}:{','.join(sorted(wanted))}:{document_id}"
        after = UUID(self._cursors.verify(cursor, bound_to=binding)["after"]) if cursor else None
        found = await self._reports.page(
            statuses=wanted, document_id=document_id, after=after, limit=limit + 1
        )
        shown = [JobView.of(job) for job in found[:limit]]
        more = len(found) > limit
        following = self._cursors.sign({"after": shown[-1].job_id}, bound_to=binding) if more else None
        return Page[JobView](items=shown, next_cursor=following)

    async def retry(self, caller: Caller, document_id: UUID) -> None:
        """Take the document out of quarantine; raises `NotFound`, or `Conflict` when it is not there."""
        await self._jobs.requeue(document_id, self._record(caller, AuditEvent.PROCESSING_RETRY, document_id))

    async def pause(self, caller: Caller, *, paused: bool) -> None:
        event = AuditEvent.PROCESSING_PAUSE if paused else AuditEvent.PROCESSING_RESUME
        await self._jobs.pause(paused, self._record(caller, event))

    def _record(self, caller: Caller, event: AuditEvent, document_id: UUID | None = None) -> dict[str, Any]:
        return self._audit.seal(
            AuditEntry(
                action="E",
                event=event,
                outcome="success",
                actor=f"user:{caller.user_id}",
                role=caller.role,
                document_id=document_id,
                address=address() or None,
                request_id=request_id(),
                session_id=caller.through,
            )
        )

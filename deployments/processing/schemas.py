"""Requests and answers of `/api/v1/processing`. Counts, ids and states: nothing here says what a document is about."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from deployments.edge.schemas import StrictModel
from domain.jobs import JobKind, Lane, Stage, explain
from domain.lifecycle import Status
from stores.job_reports import ListedJob, QueueStats
from stores.workers import Decision, WorkerRow


class Backlog(StrictModel):
    """Jobs of one lane at one stage in one state."""

    status: Status
    stage: Stage
    lane: Lane
    count: int
    oldest_seconds: float = Field(description="Age of the oldest, in seconds.")


class Worker(StrictModel):
    name: str
    pool: str
    state: str = Field(description="starting, running or draining.")
    node: str | None
    age_seconds: float
    silent_seconds: float = Field(description="Since its last sign of life.")


class ScalingDecision(StrictModel):
    pool: str
    delta: int = Field(description="Workers added (or, negative, drained).")
    workers: int = Field(description="Workers then.")
    backlog: int
    reason: str
    decided_at: datetime


class Stats(StrictModel):
    """The queue and the pools at one moment."""

    paused: bool
    backlog: int = Field(description="Jobs that are not finished.")
    oldest_seconds: float
    eta_seconds: float | None = Field(description="Until all of it is done; null while nothing moves.")
    waiting: list[Backlog]
    indexed: int
    rejected: int
    quarantined: int
    workers: list[Worker]
    decisions: list[ScalingDecision] = Field(
        description="The last changes of the pools' sizes, newest first."
    )

    @classmethod
    def of(
        cls, stats: QueueStats, indexed: int, workers: list[WorkerRow], decisions: list[Decision]
    ) -> Stats:
        return cls(
            paused=stats.paused,
            backlog=stats.backlog,
            oldest_seconds=round(stats.oldest_seconds, 3),
            eta_seconds=stats.eta_seconds,
            waiting=[
                Backlog(
                    status=Status(group.status),
                    stage=Stage(group.stage),
                    lane=Lane(group.lane),
                    count=group.count,
                    oldest_seconds=round(group.oldest_seconds, 3),
                )
                for group in stats.waiting
            ],
            indexed=indexed,
            rejected=stats.rejected,
            quarantined=stats.quarantined,
            workers=[
                Worker(
                    name=row.name,
                    pool=row.pool,
                    state=row.state,
                    node=row.node,
                    age_seconds=round(row.age_seconds, 3),
                    silent_seconds=round(row.silent_seconds, 3),
                )
                for row in workers
            ],
            decisions=[
                ScalingDecision(
                    pool=one.pool,
                    delta=one.delta,
                    workers=one.workers,
                    backlog=one.backlog,
                    reason=one.reason,
                    decided_at=one.decided_at,
                )
                for one in decisions
            ],
        )


class Reason(StrictModel):
    """Why a document stands still, in words a records clerk understands."""

    code: str
    message: str
    action: str


class JobView(StrictModel):
    """One job: a version of a document to process, or a change or deletion to carry into the index."""

    job_id: UUID
    document_id: UUID
    version: int
    kind: JobKind
    lane: Lane
    status: Status
    stage: Stage | None
    failures: int
    lost_leases: int
    reason: Reason | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, listed: ListedJob) -> JobView:
        job = listed.job
        message, action = explain(job.reason_code) if job.reason_code else ("", "")
        return cls(
            job_id=job.id,
            document_id=job.document_id,
            version=job.version,
            kind=job.kind,
            lane=job.lane,
            status=job.state.status,
            stage=job.state.stage,
            failures=job.failures,
            lost_leases=job.lost_leases,
            reason=Reason(code=job.reason_code, message=message, action=action) if job.reason_code else None,
            created_at=listed.created_at,
            finished_at=job.finished_at,
        )


class Claiming(StrictModel):
    """Whether work is given out."""

    paused: bool

"""A processing job as a value, and what may happen to it: pure functions `job -> job`.

All states follow `domain.lifecycle`. `now` is the database's clock, so that no other clock matters. Attempts,
failures and lost leases are counted a stage at a time; the attempt is counted when the work starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from config.settings import ProcessingSettings
from domain.jobs import Failure, JobKind, Lane, Lease, Stage
from domain.lifecycle import RECEIVED, Happening, State, Status, step

DAMAGED = "artefact_damaged"
"""Code of the failure to read what an earlier stage stored."""

REWINDS = "rewinds"
"""In a job's `facts`: how often that happened."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work on one document; `facts` are what the stages found out (never text)."""

    id: UUID
    document_id: UUID
    version: int
    revision: int
    kind: JobKind
    lane: Lane
    state: State
    blob_key: str = ""
    request_id: str = ""
    attempt: int = 0
    failures: int = 0
    lost_leases: int = 0
    fence: int = 0
    holder: str | None = None
    lease_until: datetime | None = None
    ready_at: datetime | None = None
    reason_code: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    artefacts: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    generation: str | None = None

    @property
    def urgent(self) -> bool:
        """A change or deletion: until it has reached the index, search shows too much."""
        return self.kind in (JobKind.UPDATE, JobKind.DELETE)

    @property
    def lease(self) -> Lease:
        """The lease of a job under work."""
        if self.holder is None or self.lease_until is None or self.state.stage is None:
            raise ValueError("the job is nobody's")
        return Lease(
            job_id=self.id,
            document_id=self.document_id,
            version=self.version,
            revision=self.revision,
            stage=self.state.stage,
            lane=self.lane,
            fence=self.fence,
            until=self.lease_until,
            holder=self.holder,
            request_id=self.request_id,
            attempt=self.attempt,
            kind=self.kind,
            blob_key=self.blob_key,
            artefacts=self.artefacts,
            generation=self.generation,
        )


def first_state(kind: JobKind) -> State:
    """Where a new job starts: processing at the first stage, a change or deletion at the index."""
    if kind is JobKind.PROCESS:
        return step(RECEIVED, Happening.ENQUEUE)
    return State(Status.QUEUED, Stage.EMBED if kind is JobKind.EMBED else Stage.INDEX)


def claimed(job: Job, holder: str, now: datetime, lease_seconds: float) -> Job:
    """Under work by `holder`, with a fence that no lease of this job had before."""
    return replace(
        job,
        state=step(job.state, Happening.CLAIM),
        attempt=job.attempt + 1,
        fence=job.fence + 1,
        holder=holder,
        lease_until=now + timedelta(seconds=lease_seconds),
        started_at=job.started_at or now,
    )


def advanced(
    job: Job, key: str, facts: Mapping[str, Any], now: datetime, lease_seconds: float, *, keep: bool
) -> Job:
    """The stage is done, its result is at `key`; the next one is the same holder's (`keep`) or anybody's."""
    assert job.state.stage is not None  # noqa: S101 - a job under work has a stage (State checks it)
    following = replace(
        job,
        state=step(job.state, Happening.ADVANCE),
        attempt=1,
        failures=0,
        lost_leases=0,
        reason_code=None,
        facts={**job.facts, **facts},
        artefacts={**job.artefacts, job.state.stage.value: key},
        lease_until=now + timedelta(seconds=lease_seconds),
    )
    return following if keep else released(following)


def finished(job: Job, now: datetime) -> Job:
    """The last stage is done: the document is in the index, or, after a deletion, nowhere any more."""
    if job.kind is JobKind.DELETE:
        state = step(step(job.state, Happening.DELETE), Happening.PURGE)
    else:
        state = step(job.state, Happening.FINISH)
    return _ended(replace(job, reason_code=None), state, now)


def failed(job: Job, failure: Failure, now: datetime, rules: ProcessingSettings) -> Job:
    """Rejected when the input is at fault; else tried again after a wait, until the failures are spent.

    Those of a change or deletion never are: while it waits for a person, the index would show too much. When what
    an earlier stage stored is damaged or lost, that stage is run again (`_rewound`).
    """
    if failure.code == DAMAGED:
        return _rewound(replace(job, reason_code=failure.code), now, rules)
    job = replace(job, failures=job.failures + 1, reason_code=failure.code)
    if failure.final:
        return _ended(job, step(job.state, Happening.REJECT), now)
    if job.failures >= rules.max_failures and not job.urgent:
        return _ended(job, step(job.state, Happening.QUARANTINE), now)
    return _waiting(job, now, _back_off(job.failures, rules))


def lost(job: Job, now: datetime, rules: ProcessingSettings) -> Job:
    """Its holder died or was silent too long: anybody's again at once, until that happened too often.

    Then it waits for a person; a change or deletion waits as after a failure.
    """
    job = replace(job, lost_leases=job.lost_leases + 1, reason_code="lease_lost")
    if job.lost_leases >= rules.max_lost_leases:
        if not job.urgent:
            return _ended(job, step(job.state, Happening.QUARANTINE), now)
        return _waiting(job, now, _back_off(job.lost_leases, rules))
    return replace(job, state=step(job.state, Happening.RELEASE), holder=None, lease_until=None)


def released(job: Job) -> Job:
    """Given back without fault; the attempt does not count."""
    return replace(
        job,
        state=step(job.state, Happening.RELEASE),
        attempt=job.attempt - 1,
        holder=None,
        lease_until=None,
    )


def postponed(job: Job, failure: Failure, now: datetime, wait_seconds: float) -> Job:
    """Waits because something it needs is away; neither an attempt nor a failure of the document."""
    return _waiting(replace(job, attempt=job.attempt - 1, reason_code=failure.code), now, wait_seconds)


def woken(job: Job) -> Job:
    """Its wait is over."""
    return replace(job, state=step(job.state, Happening.WAKE), ready_at=None)


def requeued(job: Job) -> Job:
    """Out of quarantine by command, with fresh counts, at the stage where it stopped."""
    return replace(
        job,
        state=step(job.state, Happening.REQUEUE),
        attempt=0,
        failures=0,
        lost_leases=0,
        reason_code=None,
        facts=_without_rewinds(job),
        started_at=None,
        finished_at=None,
    )


def reindexed(job: Job) -> Job:
    """Its place in the index was lost: to be indexed again from its artefacts, behind what is uploaded meanwhile."""
    return replace(
        job,
        state=step(job.state, Happening.REINDEX),
        lane=Lane.BULK,
        attempt=0,
        failures=0,
        lost_leases=0,
        facts=_without_rewinds(job),
        started_at=None,
        finished_at=None,
    )


def _back_off(times: int, rules: ProcessingSettings) -> float:
    """Seconds to wait after the trouble came `times` times; the last of the settings' waits is the longest."""
    return rules.backoff_seconds[min(times, len(rules.backoff_seconds)) - 1]


def _rewound(job: Job, now: datetime, rules: ProcessingSettings) -> Job:
    """The stage before is anybody's again, with fresh counts: what it stored, and all behind it, counts no more.

    One stage at a time, as that one reads what the one before it stored. Counted over all stages, because
    results that are damaged again and again are no end.
    """
    rewinds = job.facts.get(REWINDS, 0) + 1
    if rewinds > rules.max_failures:
        return _ended(job, step(job.state, Happening.QUARANTINE), now)
    state = step(job.state, Happening.REWIND)
    order = list(Stage)
    return replace(
        job,
        state=state,
        attempt=0,
        failures=0,
        lost_leases=0,
        facts={**job.facts, REWINDS: rewinds},
        artefacts={
            stage: key
            for stage, key in job.artefacts.items()
            if state.stage and order.index(Stage(stage)) < order.index(state.stage)
        },
        holder=None,
        lease_until=None,
    )


def _without_rewinds(job: Job) -> dict[str, Any]:
    return {name: fact for name, fact in job.facts.items() if name != REWINDS}


def _waiting(job: Job, now: datetime, seconds: float) -> Job:
    return replace(
        job,
        state=step(job.state, Happening.FAIL),
        holder=None,
        lease_until=None,
        ready_at=now + timedelta(seconds=seconds),
    )


def _ended(job: Job, state: State, now: datetime) -> Job:
    return replace(job, state=state, holder=None, lease_until=None, finished_at=now)

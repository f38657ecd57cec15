"""How fast documents are being processed, and what that means for one that is waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.job_life import Job
from domain.jobs import Lane, Stage
from domain.lifecycle import Status

DONE_BEFORE: dict[Stage, float] = {
    Stage.EXTRACT: 0.0,
    Stage.ANNOTATE: 0.1,
    Stage.EMBED: 0.6,
    Stage.INDEX: 0.95,
}
"""Share of a document's work that is done when a stage begins: of the demonstration's, on two cores."""


def progress(job: Job) -> float:
    """Between 0 and 1."""
    return DONE_BEFORE[job.state.stage] if job.state.stage else 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured lately: documents a second, seconds a document, documents waiting in each lane."""

    per_second: float = 0.0
    seconds_each: float | None = None
    waiting: Mapping[Lane, int] = field(default_factory=dict)

    def eta_seconds(self, job: Job) -> int | None:
        """Seconds until the document is done; None: nothing was measured yet, or nothing more will happen."""
        if self.seconds_each is None or job.state.status.terminal:
            return None
        own = self.seconds_each * (1 - progress(job))
        if job.state.status is Status.PROCESSING:
            return round(own)
        queue = self.queue_seconds(job.lane)
        return None if queue is None else round(queue + own)

    def queue_seconds(self, lane: Lane) -> float | None:
        """Seconds until what waits in `lane`, and in those before it, has begun; None: nothing moves."""
        ahead = sum(count for other, count in self.waiting.items() if lane is Lane.BULK or other is lane)
        if ahead == 0:
            return 0.0
        return ahead / self.per_second if self.per_second > 0 else None

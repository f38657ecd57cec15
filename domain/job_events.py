"""What the world hears of a job: `document.stage_changed` on the way, `document.processed` at the end.

`sequence` rises with each change, so that late messages lose. Never text, names or PHI.
"""

from __future__ import annotations

from typing import Any

from domain.events import Event, EventType
from domain.job_life import Job
from domain.jobs import JobKind
from domain.lifecycle import Status
from domain.pace import Pace, progress

SOURCE = "/medsearch/processing"


def event_of(job: Job, sequence: int, pace: Pace) -> Event | None:
    """The event of the present state.

    None for a change of metadata or access, a deletion under way, and what is done to a generation that is built.
    """
    if job.kind in (JobKind.UPDATE, JobKind.EMBED) or (
        job.kind is JobKind.DELETE and job.state.status is not Status.DELETED
    ):
        return None
    if job.state.status.terminal:
        return _event(EventType.DOCUMENT_PROCESSED, job, _result(job, sequence))
    return _event(EventType.DOCUMENT_STAGE_CHANGED, job, _standing(job, sequence) | _eta(job, pace))


def _standing(job: Job, sequence: int) -> dict[str, Any]:
    return {
        "document_id": str(job.document_id),
        "version": job.version,
        "revision": job.revision,
        "sequence": sequence,
        "status": job.state.status.value,
        "stage": job.state.stage.value if job.state.stage else None,
        "progress": progress(job),
        "failures": job.failures,
        "reason_code": job.reason_code,
        "artefacts": dict(job.artefacts),
    }


def _result(job: Job, sequence: int) -> dict[str, Any]:
    facts = job.facts
    return _standing(job, sequence) | {
        "outcome": job.state.status.value,
        "pages": facts.get("pages"),
        "passages": facts.get("passages"),
        "models": facts.get("models", []),
        "unreadable_pages": facts.get("unreadable_pages", []),
        "warnings": facts.get("warnings", []),
        "media_type": facts.get("media_type"),
        "parser": facts.get("parser"),
    }


def _eta(job: Job, pace: Pace) -> dict[str, Any]:
    seconds = pace.eta_seconds(job)
    return {} if seconds is None else {"eta_seconds": seconds}


def _event(kind: EventType, job: Job, data: dict[str, Any]) -> Event:
    return Event(kind, subject=str(job.document_id), data=data, source=SOURCE, request_id=job.request_id)

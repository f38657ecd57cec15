"""The document's life as a pure state machine: `(state, happening) -> state`, or an error.

    received -> queued -> processing(extract|annotate|embed|index) -> indexed
    processing -> retry_wait -> queued          processing -> rejected | quarantined
    processing -> queued (given back, or a stage back: its result cannot be read)
    quarantined -> queued (requeue)             indexed -> queued (reindex: its place in the index was lost)
    any -> deleting -> deleted

A new version starts again from `received`. Drawn, with a row a state, in `docs/architecture.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Conflict
from domain.jobs import Stage


class Status(StrEnum):
    RECEIVED = "received"
    QUEUED = "queued"
    PROCESSING = "processing"
    RETRY_WAIT = "retry_wait"
    INDEXED = "indexed"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    DELETING = "deleting"
    DELETED = "deleted"

    @property
    def terminal(self) -> bool:
        """Nothing happens any more without somebody's command."""
        return self in (Status.INDEXED, Status.REJECTED, Status.QUARANTINED, Status.DELETED)


class Happening(StrEnum):
    """What may happen to a document."""

    ENQUEUE = "enqueue"
    CLAIM = "claim"
    ADVANCE = "advance"
    FINISH = "finish"
    FAIL = "fail"
    RELEASE = "release"
    REWIND = "rewind"
    WAKE = "wake"
    REJECT = "reject"
    QUARANTINE = "quarantine"
    REQUEUE = "requeue"
    REINDEX = "reindex"
    REPLACE = "replace"
    DELETE = "delete"
    PURGE = "purge"


@dataclass(frozen=True, slots=True)
class State:
    """Where a document stands; `stage` is the stage under work or the next one to run."""

    status: Status
    stage: Stage | None = None

    def __post_init__(self) -> None:
        staged = self.status in (Status.QUEUED, Status.PROCESSING, Status.RETRY_WAIT, Status.QUARANTINED)
        if staged != (self.stage is not None):
            raise ValueError(f"{self.status} {'needs' if staged else 'has no'} stage")


RECEIVED = State(Status.RECEIVED)

_BEFORE_DELETION = tuple(status for status in Status if status not in (Status.DELETING, Status.DELETED))

TRANSITIONS: dict[Happening, tuple[tuple[Status, ...], Status]] = {
    Happening.ENQUEUE: ((Status.RECEIVED,), Status.QUEUED),
    Happening.CLAIM: ((Status.QUEUED,), Status.PROCESSING),
    Happening.ADVANCE: ((Status.PROCESSING,), Status.PROCESSING),
    Happening.FINISH: ((Status.PROCESSING,), Status.INDEXED),
    Happening.FAIL: ((Status.PROCESSING,), Status.RETRY_WAIT),
    Happening.RELEASE: ((Status.PROCESSING,), Status.QUEUED),
    Happening.REWIND: ((Status.PROCESSING,), Status.QUEUED),
    Happening.WAKE: ((Status.RETRY_WAIT,), Status.QUEUED),
    Happening.REJECT: ((Status.PROCESSING,), Status.REJECTED),
    Happening.QUARANTINE: ((Status.PROCESSING,), Status.QUARANTINED),
    Happening.REQUEUE: ((Status.QUARANTINED,), Status.QUEUED),
    Happening.REINDEX: ((Status.INDEXED,), Status.QUEUED),
    Happening.REPLACE: (_BEFORE_DELETION, Status.RECEIVED),
    Happening.DELETE: (_BEFORE_DELETION, Status.DELETING),
    Happening.PURGE: ((Status.DELETING,), Status.DELETED),
}
"""happening -> (states it may happen in, state that follows)."""


def step(state: State, happening: Happening) -> State:
    """The state after `happening`; raises `Conflict` (`document.state`) when it cannot happen in `state`."""
    allowed, status = TRANSITIONS[happening]
    if state.status not in allowed:
        raise Conflict(f"A document that is {state.status} cannot {happening}.", code="document.state")
    match happening:
        case Happening.ENQUEUE:
            return State(status, Stage.EXTRACT)
        case Happening.REINDEX:
            return State(status, Stage.INDEX)
        case Happening.ADVANCE:
            return State(status, _there(state.stage and state.stage.next))
        case Happening.REWIND:
            return State(status, _there(state.stage and state.stage.previous))
        case Happening.FINISH:
            if state.stage is not Stage.INDEX:
                raise Conflict("Only the last stage finishes a document.", code="document.state")
            return State(status)
        case (
            Happening.CLAIM
            | Happening.FAIL
            | Happening.RELEASE
            | Happening.WAKE
            | Happening.QUARANTINE
            | Happening.REQUEUE
        ):
            return State(status, state.stage)
        case Happening.REJECT | Happening.REPLACE | Happening.DELETE | Happening.PURGE:
            return State(status)


def _there(stage: Stage | None) -> Stage:
    if stage is None:
        raise Conflict(
            "There is no stage behind the last one or before the first one.", code="document.state"
        )
    return stage

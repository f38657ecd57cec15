"""Every transition of the document's life, and that there is no other."""

from __future__ import annotations

import itertools

import pytest

from domain.errors import Conflict
from domain.jobs import Stage
from domain.lifecycle import RECEIVED, TRANSITIONS, Happening, State, Status, step

Q, P, W = Status.QUEUED, Status.PROCESSING, Status.RETRY_WAIT
STAGED = (Q, P, W, Status.QUARANTINED)
BEFORE_DELETION = tuple(s for s in Status if s not in (Status.DELETING, Status.DELETED))

ROWS = [
    (State(Status.RECEIVED), Happening.ENQUEUE, State(Q, Stage.EXTRACT)),
    *((State(Q, stage), Happening.CLAIM, State(P, stage)) for stage in Stage),
    (State(P, Stage.EXTRACT), Happening.ADVANCE, State(P, Stage.ANNOTATE)),
    (State(P, Stage.ANNOTATE), Happening.ADVANCE, State(P, Stage.EMBED)),
    (State(P, Stage.EMBED), Happening.ADVANCE, State(P, Stage.INDEX)),
    (State(P, Stage.INDEX), Happening.FINISH, State(Status.INDEXED)),
    *((State(P, stage), Happening.FAIL, State(W, stage)) for stage in Stage),
    *((State(P, stage), Happening.RELEASE, State(Q, stage)) for stage in Stage),
    (State(P, Stage.ANNOTATE), Happening.REWIND, State(Q, Stage.EXTRACT)),
    (State(P, Stage.EMBED), Happening.REWIND, State(Q, Stage.ANNOTATE)),
    (State(P, Stage.INDEX), Happening.REWIND, State(Q, Stage.EMBED)),
    *((State(W, stage), Happening.WAKE, State(Q, stage)) for stage in Stage),
    *((State(P, stage), Happening.REJECT, State(Status.REJECTED)) for stage in Stage),
    *((State(P, stage), Happening.QUARANTINE, State(Status.QUARANTINED, stage)) for stage in Stage),
    *((State(Status.QUARANTINED, stage), Happening.REQUEUE, State(Q, stage)) for stage in Stage),
    (State(Status.INDEXED), Happening.REINDEX, State(Q, Stage.INDEX)),
    (State(Status.DELETING), Happening.PURGE, State(Status.DELETED)),
]


def every_state() -> list[State]:
    return [
        State(status, stage) for status in Status for stage in (tuple(Stage) if status in STAGED else (None,))
    ]


@pytest.mark.parametrize(("before", "happening", "after"), ROWS)
def test_allowed_step(before: State, happening: Happening, after: State) -> None:
    assert step(before, happening) == after


@pytest.mark.parametrize("before", [state for state in every_state() if state.status in BEFORE_DELETION])
def test_replacing_and_deleting_are_possible_at_any_time_before_deletion(before: State) -> None:
    assert step(before, Happening.REPLACE) == RECEIVED
    assert step(before, Happening.DELETE) == State(Status.DELETING)


def test_nothing_else_can_happen() -> None:
    allowed = {(before, happening) for before, happening, _ in ROWS}
    for before, happening in itertools.product(every_state(), Happening):
        if happening in (Happening.REPLACE, Happening.DELETE) and before.status in BEFORE_DELETION:
            continue
        if (before, happening) in allowed:
            continue
        with pytest.raises(Conflict) as refusal:
            step(before, happening)
        assert refusal.value.code == "document.state"


def test_every_happening_has_its_row() -> None:
    assert set(TRANSITIONS) == set(Happening)


@pytest.mark.parametrize("status", Status)
def test_a_state_has_a_stage_exactly_when_work_is_or_was_under_way(status: Status) -> None:
    stage = None if status in STAGED else Stage.EXTRACT
    with pytest.raises(ValueError, match="stage"):
        State(status, stage)


def test_terminal_states() -> None:
    assert {status for status in Status if status.terminal} == {
        Status.INDEXED,
        Status.REJECTED,
        Status.QUARANTINED,
        Status.DELETED,
    }

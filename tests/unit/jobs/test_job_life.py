"""What may happen to a job, as values: counts, fences, waits, ends, and what the world hears of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import ProcessingSettings
from domain import job_life
from domain.errors import Conflict
from domain.events import EventType
from domain.ids import new_id
from domain.job_events import event_of
from domain.job_life import Job
from domain.jobs import Failure, JobKind, Lane, Stage
from domain.lifecycle import State, Status
from domain.pace import Pace, progress

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RULES = ProcessingSettings()
CRASH = Failure("parser_crashed", "stopped")
DAMAGED = Failure("artefact_damaged", "")


def job(kind: JobKind = JobKind.PROCESS, **fields: object) -> Job:
    fresh = Job(new_id(), new_id(), 1, 1, kind, Lane.ONLINE, job_life.first_state(kind), request_id="req")
    return replace(fresh, **fields)


def under_work(stage: Stage = Stage.EXTRACT, kind: JobKind = JobKind.PROCESS) -> Job:
    waiting = job(kind, state=State(Status.QUEUED, stage))
    return job_life.claimed(waiting, "w", NOW, 60)


def test_a_job_for_a_further_generation_begins_at_its_stage_ends_like_a_document_and_tells_nobody() -> None:
    fresh = job(JobKind.EMBED, generation="g2")
    assert (fresh.state, fresh.urgent) == (State(Status.QUEUED, Stage.EMBED), False)
    claimed = job_life.claimed(fresh, "w", NOW, 60)
    assert claimed.lease.generation == "g2"
    indexing = job_life.advanced(claimed, "vectors/g2/x", {}, NOW, 60, keep=True)
    done = job_life.finished(indexing, NOW)
    spent = replace(claimed, failures=RULES.max_failures - 1)
    stopped = job_life.failed(spent, Failure("model_failed", ""), NOW, RULES)
    assert (done.state.status, stopped.state.status) == (Status.INDEXED, Status.QUARANTINED)
    assert [event_of(one, 1, Pace()) for one in (fresh, claimed, indexing, done, stopped)] == [None] * 5


def test_a_claim_counts_the_attempt_and_raises_the_fence() -> None:
    claimed = under_work()
    assert (claimed.attempt, claimed.fence, claimed.holder) == (1, 1, "w")
    assert claimed.lease.until == NOW + timedelta(seconds=60)
    again = job_life.claimed(job_life.lost(claimed, NOW, RULES), "v", NOW, 60)
    assert (again.attempt, again.fence, again.lease.attempt) == (2, 2, 2)
    assert again.started_at == claimed.started_at


def test_nobodys_job_has_no_lease() -> None:
    with pytest.raises(ValueError, match="nobody"):
        _ = job().lease


@pytest.mark.parametrize(("failures", "seconds"), [(1, 5), (2, 30)])
def test_back_off_grows(failures: int, seconds: int) -> None:
    failed = job_life.failed(replace(under_work(), failures=failures - 1), CRASH, NOW, RULES)
    assert failed.ready_at == NOW + timedelta(seconds=seconds)
    assert (failed.holder, failed.lease_until) == (None, None)
    assert job_life.woken(failed).state == State(Status.QUEUED, Stage.EXTRACT)


def test_the_last_wait_is_used_again_when_more_failures_are_allowed() -> None:
    patient = ProcessingSettings(max_failures=9)
    failed = job_life.failed(replace(under_work(), failures=6), CRASH, NOW, patient)
    assert failed.ready_at == NOW + timedelta(seconds=120)


def test_deletion_ends_deleted_and_an_update_ends_indexed() -> None:
    assert job_life.finished(under_work(Stage.INDEX, JobKind.DELETE), NOW).state == State(Status.DELETED)
    assert job_life.finished(under_work(Stage.INDEX, JobKind.UPDATE), NOW).state == State(Status.INDEXED)
    with pytest.raises(Conflict):
        job_life.finished(under_work(Stage.EMBED), NOW)


def test_handing_over_leaves_fresh_counts() -> None:
    tired = replace(under_work(), failures=2, lost_leases=4, reason_code="parser_crashed")
    over = job_life.advanced(tired, "key", {"pages": 2}, NOW, 60, keep=False)
    assert over.state == State(Status.QUEUED, Stage.ANNOTATE)
    assert (over.attempt, over.failures, over.lost_leases, over.reason_code) == (0, 0, 0, None)
    assert (dict(over.artefacts), dict(over.facts)) == ({"extract": "key"}, {"pages": 2})


def test_a_damaged_result_sends_the_job_back_to_the_stage_that_made_it() -> None:
    stored = {"extract": "e", "annotate": "a", "embed": "v"}
    at_index = replace(under_work(Stage.INDEX), failures=1, artefacts=stored)
    back = job_life.failed(at_index, DAMAGED, NOW, RULES)
    assert back.state == State(Status.QUEUED, Stage.EMBED)
    assert (back.attempt, back.failures, back.holder, back.ready_at) == (0, 0, None, None)
    assert (back.reason_code, dict(back.artefacts)) == ("artefact_damaged", {"extract": "e", "annotate": "a"})
    further = job_life.failed(job_life.claimed(back, "w", NOW, 60), DAMAGED, NOW, RULES)
    assert (further.state, dict(further.artefacts)) == (
        State(Status.QUEUED, Stage.ANNOTATE),
        {"extract": "e"},
    )


def test_results_that_are_damaged_again_and_again_end_in_quarantine() -> None:
    current = under_work(Stage.ANNOTATE)
    for _ in range(RULES.max_failures):
        back = job_life.failed(current, DAMAGED, NOW, RULES)
        assert back.state == State(Status.QUEUED, Stage.EXTRACT)
        current = job_life.advanced(job_life.claimed(back, "w", NOW, 60), "new", {}, NOW, 60, keep=True)
    stopped = job_life.failed(current, DAMAGED, NOW, RULES)
    assert stopped.state == State(Status.QUARANTINED, Stage.ANNOTATE)
    assert stopped.reason_code == "artefact_damaged"
    again = job_life.claimed(job_life.requeued(stopped), "w", NOW, 60)
    assert job_life.failed(again, DAMAGED, NOW, RULES).state == State(Status.QUEUED, Stage.EXTRACT)


def test_lost_leases_end_in_quarantine_only_after_five() -> None:
    current = under_work()
    for count in range(1, 5):
        current = job_life.lost(current, NOW, RULES)
        assert (current.state.status, current.lost_leases) == (Status.QUEUED, count)
        current = job_life.claimed(current, "w", NOW, 60)
    assert job_life.lost(current, NOW, RULES).state == State(Status.QUARANTINED, Stage.EXTRACT)


@pytest.mark.parametrize("kind", [JobKind.UPDATE, JobKind.DELETE])
def test_changes_and_deletions_are_tried_until_they_are_done(kind: JobKind) -> None:
    tired = replace(under_work(Stage.INDEX, kind), failures=50, lost_leases=50)
    for waiting in (job_life.failed(tired, CRASH, NOW, RULES), job_life.lost(tired, NOW, RULES)):
        assert waiting.state == State(Status.RETRY_WAIT, Stage.INDEX)
        assert waiting.ready_at == NOW + timedelta(seconds=RULES.backoff_seconds[-1])
        assert waiting.holder is None


def test_events_carry_no_empty_promises() -> None:
    event = event_of(job(), 7, Pace())
    assert event is not None
    assert event.type is EventType.DOCUMENT_STAGE_CHANGED
    assert event.request_id == "req"
    assert event.data["sequence"] == 7
    assert "eta_seconds" not in event.data


def test_changes_and_deletions_under_way_are_not_told() -> None:
    assert event_of(under_work(Stage.INDEX, JobKind.UPDATE), 1, Pace()) is None
    deletion = under_work(Stage.INDEX, JobKind.DELETE)
    assert event_of(deletion, 1, Pace()) is None
    told = event_of(job_life.finished(deletion, NOW), 2, Pace())
    assert told is not None
    assert told.data["outcome"] == "deleted"


def test_eta_of_waiting_and_running_documents() -> None:
    pace = Pace(per_second=2.0, seconds_each=10.0, waiting={Lane.ONLINE: 20, Lane.BULK: 100})
    assert pace.eta_seconds(job()) == 20
    assert pace.eta_seconds(job(lane=Lane.BULK)) == 70
    assert pace.eta_seconds(under_work(Stage.EMBED)) == 4
    assert pace.eta_seconds(job(state=State(Status.INDEXED))) is None
    assert Pace(0.0, 10.0, {Lane.ONLINE: 3}).eta_seconds(job()) is None
    assert Pace(0.0, 10.0).eta_seconds(job()) == 10


def test_progress_rises_from_stage_to_stage() -> None:
    shares = [progress(under_work(stage)) for stage in Stage]
    assert shares == sorted(set(shares))
    assert progress(job(state=State(Status.INDEXED))) == 1.0

"""The size of a pool, rule by rule."""

from __future__ import annotations

import math

import pytest

from actors.scaling import KEEP, REPLACED, Observation, Scale, Trend, crash_wait, decide, wanted
from config.settings import PoolSettings

RULE = PoolSettings(
    min_workers=1, max_workers=4, backlog_per_worker=4, up_delay_seconds=1, down_delay_seconds=60
)


@pytest.mark.parametrize(
    ("queued", "leased", "workers"),
    [(0, 0, 1), (1, 0, 1), (4, 0, 1), (5, 0, 2), (3, 2, 2), (16, 0, 4), (17, 0, 4), (10_000, 4, 4)],
)
def test_backlog_and_leases_justify_workers_between_the_limits(
    queued: int, leased: int, workers: int
) -> None:
    assert wanted(Observation(queued=queued, leased=leased), RULE) == workers


def test_an_old_job_asks_for_one_more_but_not_beyond_the_maximum() -> None:
    assert wanted(Observation(queued=1, oldest_seconds=31, fresh=2), RULE) == 3
    assert wanted(Observation(queued=1, oldest_seconds=29, fresh=2), RULE) == 1
    assert wanted(Observation(queued=0, leased=1, oldest_seconds=31, fresh=2), RULE) == 1
    assert wanted(Observation(queued=1, oldest_seconds=31, fresh=4), RULE) == 4


def test_a_pool_may_be_empty_when_idle() -> None:
    none = PoolSettings(min_workers=0, up_delay_seconds=0)
    assert wanted(Observation(), none) == 0
    assert decide(Observation(), none) == KEEP
    assert decide(Observation(queued=1), none).delta == 1


def test_missing_minimum_is_started_at_once() -> None:
    assert decide(Observation(), RULE) == Scale(1, "fewer than the minimum")


def test_more_work_must_last_before_workers_are_added() -> None:
    busy = Observation(queued=12, fresh=1, fresh_running=1)
    assert decide(busy, RULE) == KEEP
    scale = decide(Trend(more_since=10.0).seen(busy, 11.0), RULE)
    assert scale.delta == 2
    assert "12 jobs wait" in scale.reason


def test_the_maximum_holds() -> None:
    assert decide(Observation(queued=999, fresh=4, fresh_running=4, more_for=9), RULE) == KEEP
    assert decide(Observation(queued=999, fresh=3, fresh_running=3, more_for=9), RULE).delta == 1


def test_less_work_must_last_before_a_worker_is_drained() -> None:
    idle = Observation(fresh=2, fresh_running=2)
    assert decide(idle, RULE) == KEEP
    assert decide(Trend(less_since=0.0).seen(idle, 59.9), RULE) == KEEP
    scale = decide(Trend(less_since=0.0).seen(idle, 60.0), RULE)
    assert (scale.delta, scale.outdated) == (-1, False)


def test_one_is_drained_at_a_time_and_never_below_the_minimum() -> None:
    assert decide(Observation(fresh=4, fresh_running=4, less_for=999), RULE).delta == -1
    assert decide(Observation(fresh=1, fresh_running=1, less_for=999), RULE) == KEEP


def test_an_outdated_worker_is_replaced_before_it_is_drained() -> None:
    assert decide(Observation(outdated=1), RULE) == Scale(1, "replaces an outdated worker")
    assert decide(Observation(outdated=1, fresh=1), RULE) == KEEP
    scale = decide(Observation(outdated=1, fresh=1, fresh_running=1), RULE)
    assert (scale.delta, scale.outdated) == (-1, True)


def test_a_full_pool_may_have_one_more_while_it_is_replaced() -> None:
    busy = Observation(queued=99, outdated=4)
    assert decide(busy, RULE).delta == 1
    assert decide(Observation(queued=99, outdated=4, fresh=1), RULE) == KEEP
    assert decide(Observation(queued=99, outdated=4, fresh=1, fresh_running=1), RULE) == REPLACED
    assert decide(Observation(queued=99, outdated=3, fresh=1, fresh_running=1), RULE).delta == 1


def test_an_outdated_worker_of_an_idle_pool_goes_without_replacement() -> None:
    none = PoolSettings(min_workers=0)
    assert decide(Observation(outdated=1), none) == REPLACED


@pytest.mark.parametrize(
    ("crashes", "seconds"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (7, 32), (8, 60), (50, 60)]
)
def test_waits_in_a_crash_loop(crashes: int, seconds: float) -> None:
    assert crash_wait(crashes) == seconds


def test_a_crash_loop_holds_starts_back_and_says_so() -> None:
    down = Observation(queued=9, crashes=4, since_crash=3.9)
    scale = decide(down, RULE)
    assert scale.delta == 0
    assert "4 workers crashed in a row" in scale.reason
    assert decide(Observation(queued=9, crashes=4, since_crash=4.0), RULE).delta > 0


def test_trend_remembers_since_when() -> None:
    trend = Trend().follow(2, 10.0).follow(1, 12.0)
    assert trend.more_since == 10.0
    assert trend.follow(0, 13.0) == Trend()
    assert trend.follow(-1, 14.0).less_since == 14.0
    assert trend.scaled().more_since is None


def test_crashes_in_a_row_end_with_a_worker_that_lived() -> None:
    trend = Trend().died(1.0, 5.0).died(2.0, 9.0)
    seen = trend.seen(Observation(), 10.0)
    assert (seen.crashes, seen.since_crash) == (2, 1.0)
    assert trend.died(3600.0, 99.0).crashes == 1
    assert trend.survived().seen(Observation(), 10.0).since_crash == math.inf

"""How many workers a pool should have: a pure decision with a reason, from what was observed.

Time comes in as numbers, so that every rule is a unit test. The supervisor merely applies the decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from config.settings import PoolSettings

OLD_SECONDS = 30.0
"""When the oldest job waits longer than this although the workers seem enough, one more is wanted."""

CRASH_LIMIT_SECONDS = 60.0
"""Longest wait between starts in a crash loop; a worker that lived longer ends the loop."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a pool. `outdated` are workers of another release or too old; `draining` ones count apart.

    `more_for` and `less_for` say for how many seconds more or fewer workers have been wanted without a break.
    """

    queued: int = 0
    leased: int = 0
    oldest_seconds: float = 0.0
    fresh: int = 0
    fresh_running: int = 0
    outdated: int = 0
    draining: int = 0
    more_for: float = 0.0
    less_for: float = 0.0
    crashes: int = 0
    since_crash: float = math.inf

    @property
    def active(self) -> int:
        return self.fresh + self.outdated


@dataclass(frozen=True, slots=True)
class Scale:
    """Start `delta` workers, or drain `-delta` (of the outdated, if set). 0 with a reason: held back."""

    delta: int
    reason: str
    outdated: bool = False


KEEP = Scale(0, "")
REPLACED = Scale(-1, "replaced by a fresh worker", outdated=True)


def wanted(observation: Observation, rule: PoolSettings) -> int:
    """How many workers the work justifies, between the pool's limits."""
    work = observation.queued + observation.leased
    justified = math.ceil(work / rule.backlog_per_worker)
    if observation.queued and observation.oldest_seconds > OLD_SECONDS:
        justified = max(justified, observation.fresh + 1)
    return max(rule.min_workers, min(justified, rule.max_workers))


def decide(observation: Observation, rule: PoolSettings) -> Scale:
    """What to do now.

    Workers below the minimum are replaced at once, others after `up_delay_seconds`. Outdated ones are drained
    when a fresh one runs in their place. Fewer workers only after `down_delay_seconds`. Crash loops wait.
    """
    target = wanted(observation, rule)
    missing = target - observation.fresh
    if missing > 0:
        return _up(observation, rule, missing)
    if observation.outdated and observation.fresh_running >= target:
        return REPLACED
    if missing < 0 and not observation.outdated and observation.less_for >= rule.down_delay_seconds:
        return Scale(-1, f"{observation.queued + observation.leased} jobs need {target} workers")
    return KEEP


def _up(observation: Observation, rule: PoolSettings, missing: int) -> Scale:
    below = observation.active < rule.min_workers
    if not below and not observation.outdated and observation.more_for < rule.up_delay_seconds:
        return KEEP
    room = rule.max_workers + (1 if observation.outdated else 0) - observation.active
    if room <= 0:
        return REPLACED if observation.outdated and observation.fresh_running == observation.fresh else KEEP
    wait = crash_wait(observation.crashes)
    if observation.since_crash < wait:
        return Scale(0, f"{observation.crashes} workers crashed in a row: next start after {wait:.0f} s")
    if observation.outdated:
        return Scale(1, "replaces an outdated worker")
    reason = "fewer than the minimum" if below else _demand(observation)
    return Scale(min(missing, room), reason)


def _demand(observation: Observation) -> str:
    return (
        f"{observation.queued} jobs wait, {observation.leased} under work,"
        f" the oldest for {observation.oldest_seconds:.0f} s"
    )


def crash_wait(crashes: int) -> float:
    """Seconds between a crash and the next start: none after the first, then 1, 2, 4 ... 60."""
    return 0.0 if crashes <= 1 else min(2.0 ** (crashes - 2), CRASH_LIMIT_SECONDS)


@dataclass(frozen=True, slots=True)
class Trend:
    """Since when more or fewer workers have been wanted, and how the last ones ended."""

    more_since: float | None = None
    less_since: float | None = None
    crashes: int = 0
    crashed_at: float | None = None

    def follow(self, gap: int, now: float) -> Trend:
        """After a look at `now` at which `gap` workers were missing (negative: too many)."""
        return replace(
            self,
            more_since=(now if self.more_since is None else self.more_since) if gap > 0 else None,
            less_since=(now if self.less_since is None else self.less_since) if gap < 0 else None,
        )

    def died(self, lived_seconds: float, now: float) -> Trend:
        """After a worker died at the age of `lived_seconds`."""
        in_a_row = 1 if lived_seconds > CRASH_LIMIT_SECONDS else self.crashes + 1
        return replace(self, crashes=in_a_row, crashed_at=now)

    def survived(self) -> Trend:
        """After a worker got old: the crash loop is over."""
        return replace(self, crashes=0, crashed_at=None)

    def scaled(self) -> Trend:
        """After a decision was applied: delays begin anew."""
        return replace(self, more_since=None, less_since=None)

    def seen(self, observation: Observation, now: float) -> Observation:
        """The observation with this history."""
        return replace(
            observation,
            more_for=0.0 if self.more_since is None else now - self.more_since,
            less_for=0.0 if self.less_since is None else now - self.less_since,
            crashes=self.crashes,
            since_crash=math.inf if self.crashed_at is None else now - self.crashed_at,
        )

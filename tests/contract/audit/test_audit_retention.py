"""Retention: whole old days go, what stays is a chain that verifies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config.settings import AuditSettings, Settings
from domain.errors import Conflict
from stores.audit_chain import Fault
from stores.audit_retention import AuditRetention, Pruned
from tests.contract.audit.conftest import Trail

KEPT = timedelta(days=10)
COUNT = "SELECT count(*) FROM audit_record WHERE event <> 'audit.prune'"


async def days(trail: Trail, *ages: int) -> None:
    """Three records sealed on each of the days that are so many days ago, in two batches."""
    today = trail.now
    for age in ages:
        trail.now = today - timedelta(days=age)
        await trail.write(3)
        await trail.seal(batch=2)
    trail.now = today


def retention(trail: Trail) -> AuditRetention:
    settings: Settings = trail.settings.model_copy(update={"audit": AuditSettings(retention_days=KEPT.days)})
    return AuditRetention(settings, trail.secrets, trail.audit)


async def test_only_whole_days_beyond_the_retention_go_and_the_rest_verifies(trail: Trail) -> None:
    await days(trail, 13, 12, 11, 10, 0)
    exported = await trail.heads()
    pruned = await retention(trail).prune()
    assert pruned == Pruned(3, 9, (trail.now - timedelta(days=11)).date())
    assert await trail.owner.fetchval(COUNT) == 6
    found = await trail.verify(exported, retention=KEPT)
    assert (found.links, found.last_seq, found.earlier, found.broken) == (6, 15, 5, None)
    assert found.first_day == (trail.now - timedelta(days=10)).date()
    assert await retention(trail).prune() == Pruned(0, 0, None)


async def test_the_chain_goes_on_after_everything_went(trail: Trail) -> None:
    await days(trail, 12, 11)
    assert (await retention(trail).prune()).days == 2
    assert (await trail.verify(retention=KEPT)).broken is None
    await days(trail, 0)
    found = await trail.verify(retention=KEPT)
    assert (found.links, found.last_seq, found.broken) == (5, 11, None)  # two days were noted as removed


async def test_unsealed_records_stay_however_old(trail: Trail) -> None:
    await trail.write(1)
    await trail.owner.execute("UPDATE audit_record SET at = at - interval '9 years'")
    assert await retention(trail).prune() == Pruned(0, 0, None)
    assert await trail.owner.fetchval(COUNT) == 1


async def test_a_chain_whose_day_has_no_head_is_not_touched(trail: Trail) -> None:
    await days(trail, 12, 0)
    await trail.owner.execute("DELETE FROM audit_head WHERE seq = 3")
    with pytest.raises(Conflict):
        await retention(trail).prune()
    assert await trail.owner.fetchval(COUNT) == 6


async def test_what_was_removed_by_another_hand_still_shows(trail: Trail) -> None:
    await days(trail, 12, 5, 0)
    await retention(trail).prune()
    await trail.owner.execute("DELETE FROM audit_link WHERE seq <= 6")
    broken = (await trail.verify(retention=KEPT)).broken
    assert broken is not None
    assert (broken.fault, broken.seq) == (Fault.CUT_START, 6)

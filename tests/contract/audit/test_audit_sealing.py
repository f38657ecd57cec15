"""The sealer: what it takes, in which order, and what it leaves when it is disturbed."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from actors.audit_sealer import AuditSealer
from cluster.databases import OWNER
from config.secrets import SecretMissing
from deployments.gateway.metrics import StoreGauges
from domain.ids import new_id
from stores.audit_heads import Head, Signed
from stores.audit_sealing import AuditSealing, unsealed
from stores.ports import Purpose
from stores.postgres import connect, database
from tests.contract.audit.conftest import Trail

ROOT = Path(__file__).parents[3]


async def sealed_order(trail: Trail) -> list[str]:
    rows = await trail.owner.fetch(
        "SELECT r.request_id FROM audit_link l JOIN audit_record r ON r.id = l.record_id ORDER BY l.seq"
    )
    return [row["request_id"] for row in rows]


async def test_records_are_chained_in_batches_and_each_head_is_signed(trail: Trail) -> None:
    await trail.write(7)
    assert await trail.seal(batch=3) == 7
    assert await sealed_order(trail) == [f"r{number}" for number in range(7)]
    heads = await trail.heads()
    assert [(head.seq, head.count, head.day) for head in heads] == [
        (seq, seq, trail.now.date()) for seq in (3, 6, 7)
    ]
    assert {head.check(trail.keys.public(Purpose.AUDIT_HEAD)) for head in heads} == {Signed.GOOD}
    assert await trail.seal() == 0
    assert len(await trail.heads()) == 3


async def test_a_record_waits_for_older_transactions_that_are_still_running(trail: Trail) -> None:
    slow = await connect(database(trail.settings, "audit", OWNER), trail.secrets)
    begun = slow.transaction()
    await begun.start()
    await slow.execute(
        """
        INSERT INTO audit_record (id, at, action, event, outcome, actor, role, document_ids, request_id)
        VALUES ($1, now(), 'R', 'document.view', 'success', 'user:2', '', '{}', 'slow')
        """,
        new_id(),
    )
    await trail.write(2)
    assert await trail.seal() == 0
    await begun.commit()
    await slow.close()
    assert await trail.seal() == 3
    assert await sealed_order(trail) == ["slow", "r0", "r1"]


async def test_two_sealers_make_one_chain(trail: Trail) -> None:
    await trail.write(40)
    sealers = [trail.sealing(batch=4) for _ in range(4)]

    async def until_done(sealing: AuditSealing) -> None:
        while (await unsealed(trail.db("audit-reader"))).count:
            await sealing.seal()

    await asyncio.wait_for(asyncio.gather(*(until_done(one) for one in sealers)), 20)
    found = await trail.verify()
    assert (found.links, found.broken) == (40, None)


async def test_a_sealer_killed_at_any_moment_leaves_a_whole_chain(trail: Trail) -> None:
    await trail.write(120)
    for delay in (0.0, 0.02, 0.05, 0.1):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.contract.audit.sealing_process", str(trail.settings.data_dir),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(delay)
        process.kill()
        await process.wait()
    await trail.seal()
    found = await trail.verify()
    assert (found.links, found.waiting, found.broken) == (120, 0, None)


async def test_days_do_not_go_back_with_the_clock(trail: Trail) -> None:
    await trail.write(2)
    await trail.seal()
    today, trail.now = trail.now.date(), trail.now - timedelta(days=2)
    await trail.write(1)
    await trail.seal()
    trail.now += timedelta(days=3)
    await trail.write(1)
    await trail.seal()
    days = [(head.day, head.count) for head in await trail.heads()]
    assert days == [(today, 2), (today, 3), (today + timedelta(days=1), 1)]
    assert (await trail.verify()).broken is None


async def test_a_restored_copy_whose_transaction_ids_begin_anew_is_sealed_on(trail: Trail) -> None:
    await trail.write(6)
    await trail.owner.execute(
        "UPDATE audit_record SET transaction_id = (transaction_id::text::bigint + 1000000000)::text::xid8"
    )
    sealing = trail.sealing(batch=3)
    assert await sealing.seal() == 0  # not a restored copy as far as one can tell: nothing is sealed yet
    await trail.owner.execute("UPDATE audit_record SET transaction_id = position::text::xid8")
    assert await sealing.seal() == 3
    await trail.owner.execute(
        """
        UPDATE audit_record r SET transaction_id = (transaction_id::text::bigint + 1000000000)::text::xid8
        WHERE NOT EXISTS (SELECT FROM audit_link l WHERE l.record_id = r.id) OR r.position = (
            SELECT max(r.position) FROM audit_link l JOIN audit_record r ON r.id = l.record_id)
        """
    )
    await trail.write(2, request_id="after")
    assert await trail.seal(batch=3) == 5
    await trail.write(1, request_id="later")
    assert await trail.seal() == 1
    assert sorted(await sealed_order(trail))[:3] == ["after", "after", "later"]


async def test_what_is_not_sealed_is_counted(trail: Trail) -> None:
    await trail.write(3)
    await trail.seal()
    gauges = StoreGauges(trail.settings, trail.secrets)
    assert (await unsealed(trail.db("audit-reader"))).count == 0
    await trail.write(2)
    await trail.owner.execute("UPDATE audit_record SET recorded_at = now() - interval '90 seconds'")
    samples = {sample.name: sample.value for sample in await gauges.collect()}
    await gauges.close()
    assert samples["medsearch_audit_unsealed"] == 2
    assert 89 < samples["medsearch_audit_unsealed_oldest_seconds"] < 200


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_link SET day = day",
        "DELETE FROM audit_head",
        "TRUNCATE audit_link",
        "DELETE FROM audit_record",
        "UPDATE audit_record SET actor = ''",
        "INSERT INTO audit_record DEFAULT VALUES",
    ],
)
async def test_the_sealer_can_only_add_links_and_heads(trail: Trail, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with trail.db("audit-sealer").connection() as connection:
            await connection.execute(statement)


@pytest.mark.parametrize("table", ["audit_record", "audit_link", "audit_head"])
@pytest.mark.parametrize("act", ["DELETE FROM {}", "TRUNCATE {}", "INSERT INTO {} DEFAULT VALUES"])
async def test_the_reader_can_only_read(trail: Trail, table: str, act: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with trail.db("audit-reader").connection() as connection:
            await connection.execute(act.format(table))


async def test_a_key_that_is_away_is_a_pause(trail: Trail) -> None:
    class Keyless:
        async def seal(self) -> int:
            raise SecretMissing("audit-head-key")

    assert await AuditSealer(Keyless(), seconds=1).run_once() == 0


async def test_turn_by_turn_everything_is_sealed(trail: Trail) -> None:
    sealer = AuditSealer(trail.sealing(batch=2), seconds=1)
    await trail.write(5)
    while await sealer.run_once():
        pass
    assert (await unsealed(trail.db("audit-reader"))).count == 0
    assert isinstance((await trail.heads())[-1], Head)

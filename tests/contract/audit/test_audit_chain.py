"""The verification names the first record that is not as it was sealed, and what happened to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from config.secrets import SecretStore
from domain.errors import Invalid
from domain.tokens import SigningKey
from stores.audit_chain import Break, Fault
from stores.audit_heads import Head, parse_heads
from stores.audit_rows import COLUMNS
from stores.audit_sealing import AuditSealing
from stores.ports import Purpose
from tests.contract.audit.conftest import Trail

DAY = timedelta(days=1)


@pytest.fixture
async def sealed(trail: Trail) -> Trail:
    """Ten sealed records of one day, in batches of four."""
    await trail.write(10, patient="LAB|1", reason="why", purpose="care", address="192.0.2.1", version=1)
    await trail.seal(batch=4)
    return trail


async def broken(trail: Trail, *exported: Head) -> Break:
    found = (await trail.verify(exported)).broken
    assert found is not None
    return found


async def test_a_whole_chain_is_good(sealed: Trail) -> None:
    await sealed.write(2)
    found = await sealed.verify(await sealed.heads())
    today = sealed.now.date()
    assert (found.links, found.heads, found.waiting, found.broken) == (10, 3, 2, None)
    assert (found.first_day, found.last_day, found.last_seq) == (today, today, 10)


async def test_an_empty_trail_is_good(trail: Trail) -> None:
    found = await trail.verify()
    assert (found.links, found.first_day, found.broken) == (0, None, None)


async def test_every_column_is_sealed(sealed: Trail) -> None:
    columns = await sealed.owner.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'audit_record'"
    )
    assert {row["column_name"] for row in columns} == set(COLUMNS)


CHANGES = {
    "at": "at + interval '1 microsecond'",
    "recorded_at": "recorded_at - interval '1 microsecond'",
    "transaction_id": "'1'",
    "action": "'U'",
    "event": "'document.list'",
    "outcome": "'denied'",
    "actor": "'user:2'",
    "role": "''",
    "on_behalf_of": "''",
    "patient": "NULL",
    "patients": "'{LAB|1,LAB|2}'",
    "document_ids": "ARRAY[id]",
    "version": "2",
    "reason": "NULL",
    "purpose": "'x'",
    "address": "'192.0.2.2'",
    "request_id": "''",
    "session_id": "'s'",
    "sealed": "sealed || '\\x00'",
    "nonce": "'\\x00'",
    "key_name": "'audit-field-key-2'",
}


@pytest.mark.parametrize("column", CHANGES)
async def test_au2_a_changed_record_is_named(sealed: Trail, column: str) -> None:
    victim = await sealed.record_at(6)
    await sealed.owner.execute(f"UPDATE audit_record SET {column} = {CHANGES[column]} WHERE id = $1", victim)
    found = await broken(sealed)
    assert (found.fault, found.seq, found.record_id) == (Fault.CHANGED, 6, victim)


async def test_the_first_of_several_is_named(sealed: Trail) -> None:
    await sealed.owner.execute("UPDATE audit_record SET actor = 'user:2' WHERE request_id IN ('r3', 'r7')")
    assert (await broken(sealed)).seq == 4


async def test_au2_a_removed_record_is_named(sealed: Trail) -> None:
    victim = await sealed.record_at(5)
    await sealed.owner.execute("DELETE FROM audit_record WHERE id = $1", victim)
    found = await broken(sealed)
    assert (found.fault, found.seq, found.record_id) == (Fault.MISSING, 5, victim)


async def test_a_record_removed_with_its_link_shows(sealed: Trail) -> None:
    await sealed.owner.execute("DELETE FROM audit_record WHERE id = $1", await sealed.record_at(5))
    await sealed.owner.execute("DELETE FROM audit_link WHERE seq = 5")
    assert ((found := await broken(sealed)).fault, found.seq) == (Fault.MISSING, 5)
    await sealed.owner.execute("UPDATE audit_link SET seq = seq - 1 WHERE seq = 6")
    assert (await broken(sealed)).seq == 5


async def test_a_first_record_removed_with_its_link_shows(sealed: Trail) -> None:
    await sealed.owner.execute("DELETE FROM audit_link WHERE seq = 1")
    assert ((found := await broken(sealed)).fault, found.seq) == (Fault.MISSING, 1)


async def test_a_beginning_that_was_removed_before_its_time_shows(sealed: Trail) -> None:
    await sealed.owner.execute("DELETE FROM audit_link WHERE seq <= 4")
    assert ((found := await broken(sealed)).fault, found.seq) == (Fault.CUT_START, 4)


async def test_a_record_added_behind_the_sealer_is_named(sealed: Trail) -> None:
    await sealed.write(1, actor="user:forger")
    row = await sealed.owner.fetchrow(
        "UPDATE audit_record SET transaction_id = '5' WHERE actor = 'user:forger' RETURNING id"
    )
    assert row is not None
    await sealed.write(1)
    assert await sealed.seal() == 1
    found = await broken(sealed)
    assert (found.fault, found.record_id) == (Fault.INSERTED, row["id"])


async def test_a_record_put_into_the_chain_is_named(sealed: Trail) -> None:
    await sealed.write(1, actor="user:forger")
    forged = await sealed.owner.fetchval("SELECT id FROM audit_record WHERE actor = 'user:forger'")
    await sealed.owner.execute("DELETE FROM audit_head")
    await sealed.owner.execute("UPDATE audit_link SET seq = seq + 1000 WHERE seq >= 5")
    await sealed.owner.execute("UPDATE audit_link SET seq = seq - 999 WHERE seq >= 1000")
    await sealed.owner.execute(
        "INSERT INTO audit_link SELECT 5, $1, day, sha256('x') FROM audit_link WHERE seq = 1", forged
    )
    found = await broken(sealed)
    assert (found.fault, found.seq, found.record_id) == (Fault.INSERTED, 5, forged)


async def test_records_that_changed_places_are_named(sealed: Trail) -> None:
    first, second = await sealed.record_at(3), await sealed.record_at(9)
    await sealed.owner.execute("UPDATE audit_link SET record_id = gen_random_uuid() WHERE seq = 9")
    await sealed.owner.execute("UPDATE audit_link SET record_id = $1 WHERE seq = 3", second)
    await sealed.owner.execute("UPDATE audit_link SET record_id = $1 WHERE seq = 9", first)
    found = await broken(sealed)
    assert (found.fault, found.seq, found.record_id) == (Fault.REORDERED, 3, second)
    assert str(first) in found.message


async def test_links_that_changed_places_are_named(sealed: Trail) -> None:
    second = await sealed.record_at(7)
    for old, new in ((6, 99), (7, 6), (99, 7)):
        await sealed.owner.execute("UPDATE audit_link SET seq = $2 WHERE seq = $1", old, new)
    found = await broken(sealed)
    assert (found.fault, found.seq, found.record_id) == (Fault.REORDERED, 6, second)


async def test_a_link_of_another_day_shows(sealed: Trail) -> None:
    await sealed.owner.execute("UPDATE audit_link SET day = day + 1 WHERE seq = 10")
    assert (await broken(sealed)).seq == 10


async def test_a_cut_tail_shows_by_the_heads_that_are_left(sealed: Trail) -> None:
    await sealed.owner.execute("DELETE FROM audit_link WHERE seq >= 7")
    assert ((found := await broken(sealed)).fault, found.seq) == (Fault.CUT_TAIL, 7)


async def test_au2_a_tail_cut_with_its_heads_shows_by_exported_heads(sealed: Trail) -> None:
    exported = (await sealed.heads())[-1:]
    await sealed.owner.execute(
        "DELETE FROM audit_record r USING audit_link l WHERE l.record_id = r.id AND seq >= 9"
    )
    await sealed.owner.execute("DELETE FROM audit_link WHERE seq >= 9")
    await sealed.owner.execute("DELETE FROM audit_head WHERE seq >= 9")
    assert (await sealed.verify()).broken is None
    assert ((found := await broken(sealed, *exported)).fault, found.seq) == (Fault.CUT_TAIL, 9)


async def test_a_chain_made_anew_shows_by_exported_heads(sealed: Trail) -> None:
    exported = await sealed.heads()
    await sealed.owner.execute("DELETE FROM audit_record WHERE request_id = 'r0'")
    await sealed.owner.execute("TRUNCATE audit_link, audit_head")
    await sealed.seal(batch=4)
    assert (await sealed.verify()).broken is None
    assert ((found := await broken(sealed, *exported)).fault, found.seq) == (Fault.BAD_HEAD, 4)
    now = await sealed.heads()
    assert (await broken(sealed, exported[0], now[0])).fault is Fault.BAD_HEAD


async def test_links_without_a_head_show(sealed: Trail) -> None:
    await sealed.owner.execute("DELETE FROM audit_head WHERE seq = 10")
    assert ((found := await broken(sealed)).fault, found.seq) == (Fault.UNSIGNED, 9)


@pytest.mark.parametrize(
    "change", ["signature = sha512('x')", "count = count + 1", "at = at - interval '1s'"]
)
async def test_a_head_that_nobody_signed_shows(sealed: Trail, change: str) -> None:
    await sealed.owner.execute(f"UPDATE audit_head SET {change} WHERE seq = 8")
    assert ((found := await broken(sealed)).fault, found.seq) == (Fault.BAD_SIGNATURE, 8)


async def test_a_head_of_another_chain_shows(sealed: Trail) -> None:
    key = sealed.keys.signing(Purpose.AUDIT_HEAD)
    head = replace((await sealed.heads())[1], count=7).signed(key)
    await sealed.owner.execute(
        "UPDATE audit_head SET count = 7, signature = $1 WHERE seq = 8", head.signature
    )
    assert ((found := await broken(sealed)).fault, found.seq) == (Fault.BAD_HEAD, 8)


async def test_a_key_that_is_not_ours_is_named(sealed: Trail) -> None:
    forger = SigningKey.generate()
    head = (await sealed.heads())[2].signed(forger)
    await sealed.owner.execute(
        "UPDATE audit_head SET signature = $1, key_name = $2 WHERE seq = 10", head.signature, head.key_name
    )
    found = await broken(sealed)
    assert (found.fault, found.seq, forger.kid in found.message) == (Fault.UNKNOWN_KEY, 10, True)


async def test_heads_of_a_key_that_was_rotated_still_verify(sealed: Trail, tmp_path: Path) -> None:
    sealed.keys.rotate(Purpose.AUDIT_HEAD)
    await sealed.write(2)
    await sealed.seal()
    kids = {head.key_name for head in await sealed.heads()}
    assert (len(kids), (await sealed.verify()).broken) == (2, None)


async def test_exported_heads_are_read_back(sealed: Trail) -> None:
    import json

    heads = await sealed.heads()
    lines = "\n".join(json.dumps(head.exported()) for head in heads)
    assert parse_heads(lines) == heads
    assert parse_heads(json.dumps({"items": [head.exported() for head in heads]})) == heads
    assert parse_heads(lines.splitlines()[0]) == heads[:1]


@pytest.mark.parametrize("text", ["x", "[1]", "{}", '{"seq": 1}', '[{"seq": 1, "day": "x"}]'])
def test_a_file_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_heads(text)


async def test_the_chain_does_not_need_the_key_of_the_sealer(sealed: Trail, secrets: SecretStore) -> None:
    sealing = AuditSealing.of(sealed.settings, secrets)
    assert await sealing.seal() == 0
    await sealing.close()

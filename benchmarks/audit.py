"""`make bench-audit`: a million records in the audit trail, on a Postgres of its own that is removed at the end.

Records are made from a seed, sealed by the product and copied in; the real sealer chains them. Measured: one record
written, who saw a patient, pages by condition, a day as CSV, the verification of the whole chain. Beside it, in the
same run and the same server, a table with the same indexes but without encryption and chain: ratios above 1 are what
the trail costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.audit_records import COLUMNS, ENDS_AT, Records, row
from benchmarks.plain_log import PlainLog
from cluster.databases import OWNER
from deployments.audit.schemas import ListParameters, PatientParameters, QuestionParameters
from deployments.audit.service import AuditService
from deployments.audit.table import csv_chunks
from deployments.edge.cursors import CursorSigner
from domain.access import Caller
from domain.ids import new_id
from stores.audit import PostgresAudit
from stores.audit_chain import AuditChain
from stores.audit_reader import PostgresAuditReader
from stores.audit_sealing import AuditSealing
from stores.keyring import SecretKeys
from stores.postgres import Postgres, connect, database
from tests.servers import Servers, running_servers

SEED = 7
BATCH = 5000
SEALED_DAYS = 30
TIMES = 50
INSERTS = 1000
AT_ONCE = 8
AIMS = {"readers_seconds": 1.0, "verify_seconds": 60.0}


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds of repeated calls."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: list[float]) -> Spread:
        taken = np.array(seconds) * 1000
        return cls(*(round(float(value), 2) for value in (*np.percentile(taken, (50, 99)), taken.max())))


async def timed(call: Callable[[int], Awaitable[object]], times: int, warm_up: int = 3) -> Spread:
    seconds = []
    for number in range(-warm_up, times):
        began = time.perf_counter()
        await call(max(number, 0))
        seconds.append(time.perf_counter() - began)
    return Spread.of(seconds[warm_up:])


async def per_second(call: Callable[[], Awaitable[object]], times: int) -> float:
    """Calls a second, `AT_ONCE` at a time."""
    began = time.perf_counter()

    async def some() -> None:
        for _ in range(times // AT_ONCE):
            await call()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return round(times / (time.perf_counter() - began), 1)


class Bench:
    """The trail and the plain table on one server."""

    def __init__(
        self, servers: Servers, records: Records, plain: PlainLog, say: Callable[[str], None]
    ) -> None:
        settings, secrets = servers.settings, servers.secrets
        keys = SecretKeys.of(settings, secrets)
        self.audit = PostgresAudit.of(settings, secrets)
        self.chain = AuditChain.of(settings, secrets)
        self._reader = PostgresAuditReader.of(settings, secrets)
        self._sealer = Postgres.of(settings, secrets, "audit", "audit-sealer")
        self._day = ENDS_AT
        self._sealing = AuditSealing(self._sealer, keys, clock=lambda: self._day)
        self._service = AuditService(self._reader, self.chain, keys, self.audit, CursorSigner(secrets))
        self._caller = Caller(str(new_id()), "privacy_officer", frozenset())
        self._records = records
        self._plain = plain
        self._say = say

    async def fill(self) -> dict[str, float]:
        """Seconds of making rows, and of copying them into either table, with all indexes in place."""
        made = copied = plain = 0.0
        for number, batch in enumerate(self._records.batches(BATCH)):
            began = time.perf_counter()
            rows = [row(self.audit, at, entry) for at, entry in batch]
            made += time.perf_counter() - began
            began = time.perf_counter()
            async with self.audit.db.connection() as connection:
                await connection.copy_records_to_table(
                    "audit_record", records=rows, columns=COLUMNS, timeout=120
                )
            copied += time.perf_counter() - began
            began = time.perf_counter()
            await self._plain.copy(batch)
            plain += time.perf_counter() - began
            if (number + 1) % 20 == 0:
                self._say(f"{(number + 1) * BATCH} records written")
        return {"encoded": round(made, 1), "copied": round(copied, 1), "plain_copied": round(plain, 1)}

    async def seal(self) -> float:
        """Records a second; the days of sealing are `SEALED_DAYS`."""
        began, sealed = time.perf_counter(), 0
        while moved := await self._sealing.seal():
            sealed += moved
            self._day = ENDS_AT + timedelta(days=sealed * SEALED_DAYS // self._records.count)
        return round(sealed / (time.perf_counter() - began), 1)

    async def inserts(self) -> dict[str, Any]:
        now = datetime.now(UTC)
        one = await timed(lambda _: self.audit.record(self._records.entry()), INSERTS)
        plain = await timed(lambda _: self._plain.insert(now, self._records.entry()), INSERTS)
        rate = await per_second(lambda: self.audit.record(self._records.entry()), INSERTS)
        return {"one": asdict(one), "one_plain": asdict(plain), "a_second": rate, "at_once": AT_ONCE}

    async def readers(self) -> dict[str, Any]:
        asked = self._records.patients(TIMES)
        found = await timed(
            lambda number: self._service.readers(self._caller, PatientParameters(patient=asked[number])),
            TIMES,
        )
        plain = await timed(lambda number: self._plain.readers(asked[number]), TIMES)
        return {"trail": asdict(found), "plain": asdict(plain)}

    async def pages(self) -> dict[str, Any]:
        """The first page by each condition, and one deep in the list."""
        day = ENDS_AT - timedelta(days=100)
        patients = self._records.patients(TIMES)
        actor = self._records.entry().actor
        period = {"from": day, "to": day + timedelta(days=1)}
        asked: dict[str, dict[str, Any]] = {
            "newest": {},
            "patient": {"patient": patients[0]},
            "rare patient": {"patient": patients[-1]},
            "actor": {"actor": actor},
            "actor and event": {"actor": actor, "event": "document.list"},
            "denied of a day": {"outcome": "denied", **period},
            "rare event": {"event": "audit.readers"},
            "outcome that never was": {"outcome": "failure"},
            "action and patient": {"patient": patients[0], "action": "C"},
        }
        found = {}
        for name, conditions in asked.items():
            parameters = ListParameters(limit=100, **conditions)
            found[name] = asdict(
                await timed(lambda _, asked=parameters: self._service.page(self._caller, asked), 15)
            )
        return found

    async def export(self) -> dict[str, float]:
        """A day as CSV."""
        day = ENDS_AT - timedelta(days=100)
        question = QuestionParameters(**{"from": day, "to": day + timedelta(days=1)})
        began, lines = time.perf_counter(), 0
        async for chunk in csv_chunks(await self._service.export(self._caller, question)):
            lines += chunk.count(b"\r\n")
        return {"seconds": round(time.perf_counter() - began, 2), "records": lines - 1}

    async def verify(self) -> dict[str, Any]:
        began = time.perf_counter()
        found = await self.chain.verify()
        seconds = time.perf_counter() - began
        if found.broken is not None or found.links < self._records.count:
            raise RuntimeError(f"the chain does not hold: {found}")
        return {
            "seconds": round(seconds, 1), "links": found.links, "heads": found.heads,
            "links_per_second": round(found.links / seconds),
        }  # fmt: skip

    async def close(self) -> None:
        for part in (self.audit, self.chain, self._reader, self._sealer):
            await part.close()


async def run(servers: Servers, count: int, say: Callable[[str], None]) -> dict[str, Any]:
    owner = await connect(database(servers.settings, "audit", OWNER), servers.secrets)
    plain = PlainLog(owner)
    await plain.create()
    bench = Bench(servers, Records(count, SEED), plain, say)
    try:
        figures: dict[str, Any] = {"seed": SEED, "records": count, "fill_seconds": await bench.fill()}
        await owner.execute("VACUUM ANALYZE", timeout=1200)  # as the server has done by itself long since
        steps = {
            "sealed_per_second": bench.seal,
            "inserts_ms": bench.inserts,
            "readers_ms": bench.readers,
            "pages_ms": bench.pages,
            "export_of_a_day": bench.export,
            "verify": bench.verify,
        }
        for name, step in steps.items():
            say(name.replace("_", " "))
            figures[name] = await step()
            if name == "sealed_per_second":
                await owner.execute("VACUUM ANALYZE", timeout=1200)
        figures["table_mib"] = {
            name: round(await owner.fetchval("SELECT pg_total_relation_size($1::regclass)", name) / 2**20)
            for name in ("audit_record", "audit_link", "plain_log")
        }
    finally:
        await bench.close()
        await owner.close()
    return figures


def report(figures: dict[str, Any], console: Console) -> None:
    fill, inserts, readers = figures["fill_seconds"], figures["inserts_ms"], figures["readers_ms"]
    table = Table("what", "figure", "beside a plain table", title=f"{figures['records']} audit records")
    written = fill["encoded"] + fill["copied"]
    table.add_row(
        "written in bulk",
        f"{figures['records'] / written:.0f} records/s",
        f"{written / fill['plain_copied']:.2f} x",
    )
    table.add_row(
        "one record",
        f"p50 {inserts['one']['p50']} ms, p99 {inserts['one']['p99']} ms",
        f"{inserts['one']['p50'] / inserts['one_plain']['p50']:.2f} x",
    )
    table.add_row(f"{inserts['at_once']} at once", f"{inserts['a_second']} records/s", "")
    table.add_row("sealing", f"{figures['sealed_per_second']} records/s", "-")
    table.add_row(
        "who saw this patient",
        f"p50 {readers['trail']['p50']} ms, longest {readers['trail']['max']} ms "
        f"(aim {AIMS['readers_seconds']} s)",
        f"{readers['trail']['p50'] / readers['plain']['p50']:.2f} x",
    )
    for name, spread in figures["pages_ms"].items():
        table.add_row(f"page of 100: {name}", f"p50 {spread['p50']} ms, longest {spread['max']} ms", "")
    export, verify = figures["export_of_a_day"], figures["verify"]
    table.add_row("a day as CSV", f"{export['seconds']} s for {export['records']} records", "")
    table.add_row(
        "verify",
        f"{verify['seconds']} s, {verify['links_per_second']} links/s (aim {AIMS['verify_seconds']} s)",
        "-",
    )
    sizes = figures["table_mib"]
    table.add_row(
        "on disk",
        f"{sizes['audit_record']} MiB and {sizes['audit_link']} MiB of links",
        f"{(sizes['audit_record'] + sizes['audit_link']) / sizes['plain_log']:.2f} x",
    )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000, help="records to write (default 1000000)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/audit.json"))
    arguments = parser.parse_args()
    console = Console(width=130)
    console.print(f"seed {SEED}")
    with running_servers() as servers:
        figures = asyncio.run(run(servers, arguments.records, console.print))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=2))
    report(figures, console)


if __name__ == "__main__":
    main()

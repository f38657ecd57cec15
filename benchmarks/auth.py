"""`make bench-auth`: what the time of a refused login tells, what a login costs, and searches beside a flood of them.

1. Row A6, limits off: refused logins of every reason, interleaved in random order, one after the other. ROC-AUC of each
   reason against wrong passwords (0.5: not distinguishable); then the same with accounts whose hashes are bcrypt.
2. Complete logins at a concurrency, beside one bare argon2id hash in this process.
3. Searches one after the other, idle and beside 200 wrong logins a second that come whether or not the former ones were
   answered; once without limits, once with those of the settings.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
import bcrypt
import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.client import Client, Latency
from benchmarks.spine import OWNER, QUERIES, platform
from config.account_settings import AuthSettings
from deployments.auth.decoys import SECONDS
from deployments.auth.hashing import PasswordHasher
from deployments.auth.provisioning import Provisioning
from stores.postgres import connect, database
from tests.platform import Platform

SEED = 11
PASSWORD = "copper-lantern-meadow-64"
PEOPLE = 20
"""Accounts of each kind."""

KINDS = ("wrong", "suspended", "unverified", "old")
"""Accounts by what is special about them; `old` is hashed by bcrypt in the end. Unknown addresses have none."""

LOGIN = "/api/v1/auth/login"
OFF = {f"AUTH__LOGIN__{name}_ATTEMPTS": "100000000" for name in ("IDENTIFIER", "ADDRESS", "EVERYBODY")}


def auc(one: Sequence[float], other: Sequence[float]) -> float:
    """Probability that one of `one` is greater than one of `other`, ties counted half."""
    order = np.sort(np.asarray(other))
    below = np.searchsorted(order, one, "left")
    not_above = np.searchsorted(order, one, "right")
    return float(np.mean((below + not_above) / 2) / len(order))


def email(kind: str, number: int) -> str:
    return f"bench-{kind}-{number}@example.org"


async def settle(running: Platform) -> None:
    """The accounts of all kinds; those of kind `old` are as any at first."""
    provisioning = Provisioning.of(running.settings, running.secrets)
    for kind in KINDS:
        for number in range(PEOPLE):
            await provisioning.create_account(
                email=email(kind, number),
                username=f"bench-{kind}-{number}",
                password=PASSWORD,
                first_name="Test",
                last_name="Person",
                role="patient",
            )
    await provisioning.close()
    await _execute(running, "UPDATE account SET status = 'suspended' WHERE email LIKE 'bench-suspended-%'")
    await _execute(
        running, "UPDATE account SET email_verified_at = NULL WHERE email LIKE 'bench-unverified-%'"
    )


async def age(running: Platform) -> None:
    """The hashes of kind `old` are those of another system from now on."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(12)).decode()
    await _execute(running, "UPDATE account SET password_hash = $1 WHERE email LIKE 'bench-old-%'", hashed)


async def _execute(running: Platform, statement: str, *arguments: object) -> None:
    connection: asyncpg.Connection = await connect(
        database(running.settings, "auth", "owner"), running.secrets
    )
    await connection.execute(statement, *arguments)
    await connection.close()


def refused(running: Platform, kinds: Sequence[str], trials: int) -> dict[str, list[float]]:
    """Seconds of `trials` refused logins of each kind, in random order, after 50 that do not count."""
    drawn = random.Random(SEED)
    order = [(kind, number) for kind in kinds for number in range(trials)]
    drawn.shuffle(order)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    with httpx.Client(base_url=running.base_url, timeout=60, trust_env=False) as client:
        for turn, (kind, _) in enumerate(order[:50] + order):
            who = drawn.randrange(10**9) if kind == "unknown" else drawn.randrange(PEOPLE)
            words = {"email": email(kind, who), "password": f"guess-{drawn.randrange(10**9)}"}
            began = time.perf_counter()
            answer = client.post(LOGIN, json=words)
            if turn >= 50:
                seconds[kind].append(time.perf_counter() - began)
            assert answer.status_code == 401, answer.text
    return seconds


def told(seconds: Mapping[str, Sequence[float]], against: Sequence[str]) -> dict[str, Any]:
    """Of each kind the median and the ROC-AUC against the kinds `against` together."""
    known = [value for kind in against for value in seconds[kind]]
    return {
        kind: {"auc": round(auc(values, known), 3), **asdict(Latency.of(list(values)))}
        for kind, values in seconds.items()
    }


async def logins(running: Platform, at_once: int, times: int) -> dict[str, Any]:
    """Complete logins, `at_once` at any time, each of another account than the one before."""
    seconds: list[float] = []
    numbers = iter(range(times + 2 * at_once))

    async def some(client: httpx.AsyncClient) -> None:
        for number in numbers:
            began = time.perf_counter()
            words = {"email": email("wrong", number % PEOPLE), "password": PASSWORD}
            answer = await client.post(LOGIN, json=words)
            assert answer.status_code == 200, answer.text
            seconds.append(time.perf_counter() - began)

    async with httpx.AsyncClient(base_url=running.base_url, timeout=60, trust_env=False) as client:
        began = time.perf_counter()
        await asyncio.gather(*(some(client) for _ in range(at_once)))
        rate = len(seconds) / (time.perf_counter() - began)
    return {**asdict(Latency.of(seconds[2 * at_once :])), "per_second": round(rate, 1)}


async def bare(times: int = 60) -> Latency:
    """One argon2id verification of the settings' cost in this process."""
    hasher = PasswordHasher(AuthSettings())
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        await hasher.verify("wrong", hasher.usual)
        seconds.append(time.perf_counter() - began)
    hasher.close()
    return Latency.of(seconds[10:])


def flood(base_url: str, rate: int, duration: float) -> dict[str, Any]:
    """Offer `rate` wrong logins a second; statuses with their number and latency. Runs in a process of its own."""
    return asyncio.run(_flood(base_url, rate, duration))


async def _flood(base_url: str, rate: int, duration: float) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {}
    late: list[float] = []

    async def one(client: httpx.AsyncClient, number: int) -> None:
        words = {"email": email("unknown", number), "password": "a wrong guess"}
        began = time.perf_counter()
        try:
            status = str((await client.post(LOGIN, json=words)).status_code)
        except httpx.TransportError as error:
            status = type(error).__name__
        seconds.setdefault(status, []).append(time.perf_counter() - began)

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=base_url, timeout=60, trust_env=False, limits=limits) as client:
        began, tasks = time.perf_counter(), []
        for number in range(round(rate * duration)):
            wait = began + number / rate - time.perf_counter()
            late.append(max(0.0, -wait))
            await asyncio.sleep(max(0.0, wait))
            tasks.append(asyncio.create_task(one(client, number)))
        offered = len(tasks) / (time.perf_counter() - began)
        await asyncio.gather(*tasks)
    answers = {status: asdict(Latency.of(values)) for status, values in sorted(seconds.items())}
    return {"offered_per_second": round(offered, 1), "late": asdict(Latency.of(late)), "answers": answers}


def beside(running: Platform, client: Client, rate: int, duration: float) -> dict[str, Any]:
    """Searches alone for `duration` seconds, and as long beside the flood."""
    idle = searched(client, duration)
    with ProcessPoolExecutor(1) as other:
        offered = other.submit(flood, running.base_url, rate, duration)
        time.sleep(1)
        flooded = searched(client, duration, offered)
        answers = offered.result()
    ratio = round(flooded.p99 / idle.p99, 2)
    return {"idle": asdict(idle), "flooded": asdict(flooded), "p99_ratio": ratio, "logins": answers}


def searched(client: Client, duration: float, until: Future[Any] | None = None) -> Latency:
    """Hybrid searches, one after the other, for `duration` seconds or until that is done."""
    for number in range(5):
        client.search(QUERIES[number], "hybrid")
    seconds, end = [], time.perf_counter() + duration
    while (time.perf_counter() < end) if until is None else not until.done():
        began = time.perf_counter()
        client.search(QUERIES[len(seconds) % len(QUERIES)], "hybrid")
        seconds.append(time.perf_counter() - began)
    return Latency.of(seconds)


def run(trials: int, times: int, rate: int, duration: float, console: Console) -> dict[str, Any]:
    """Everything, in order; returns the figures."""
    console.print(f"seed {SEED}, {trials} trials a kind, {os.cpu_count()} processors")
    figures: dict[str, Any] = {"seed": SEED, "trials": trials, "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        data = Path(temporary) / "data"
        with platform(data, 1, **OFF) as (running, _):
            asyncio.run(settle(running))
            figures["beside"] = beside(running, Client(running.base_url, OWNER), rate, duration)
            figures["bare_hash"] = asdict(asyncio.run(bare()))
            figures["logins"] = {
                str(at_once): asyncio.run(logins(running, at_once, times)) for at_once in (1, 2, 8)
            }
            kinds = ("wrong", "unknown", "suspended", "unverified")
            figures["refused"] = told(refused(running, kinds, trials), ["wrong"])
            asyncio.run(age(running))
            time.sleep(SECONDS)  # replicas look at the kinds of hashes as often
            kinds = ("wrong", "suspended", "unverified", "old")
            figures["refused_with_bcrypt"] = told(refused(running, (*kinds, "unknown"), trials // 4), kinds)
        with platform(data, 1) as (running, _):
            client = Client(running.base_url, OWNER)
            figures["beside_with_limits"] = beside(running, client, rate, duration)
    return figures


def report(figures: dict[str, Any], console: Console) -> None:
    """The tables; everything else is in the JSON."""
    table = Table("refused login", "ROC-AUC", "p50 ms", "p99 ms", "n", title="what the time tells (A6)")
    for name in ("refused", "refused_with_bcrypt"):
        for kind, one in figures[name].items():
            table.add_row(f"{name}: {kind}", *(str(one[key]) for key in ("auc", "p50", "p99", "calls")))
    console.print(table)
    bare_hash = figures["bare_hash"]
    table = Table("at once", "p50 ms", "p99 ms", "logins/s", "p50 in bare hashes", title="complete logins")
    for at_once, one in figures["logins"].items():
        ratio = one["p50"] / bare_hash["p50"]
        table.add_row(at_once, str(one["p50"]), str(one["p99"]), str(one["per_second"]), f"{ratio:.1f}")
    table.add_row("one bare hash", str(bare_hash["p50"]), str(bare_hash["p99"]), "", "1.0")
    console.print(table)
    table = Table("what", "p50 ms", "p99 ms", "calls", title="searches beside a flood of logins")
    for name in ("beside", "beside_with_limits"):
        found = figures[name]
        rows = {
            "search, idle": found["idle"],
            f"search, flooded ({found['p99_ratio']} x)": found["flooded"],
            **{f"login {status}": one for status, one in found["logins"]["answers"].items()},
        }
        for words, one in rows.items():
            table.add_row(f"{name}: {words}", str(one["p50"]), str(one["p99"]), str(one["calls"]))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000, help="refused logins of each kind (default 2000)")
    parser.add_argument(
        "--times", type=int, default=200, help="complete logins at each concurrency (default 200)"
    )
    parser.add_argument("--rate", type=int, default=200, help="logins a second of the flood (default 200)")
    parser.add_argument("--duration", type=float, default=25, help="seconds of the flood (default 25)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/auth.json"))
    arguments = parser.parse_args()
    console = Console(width=130)
    figures = run(arguments.trials, arguments.times, arguments.rate, arguments.duration, console)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=2))
    report(figures, console)


if __name__ == "__main__":
    main()

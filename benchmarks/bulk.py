"""`make bench-bulk`: a bulk load killed half way and submitted again, with interactive uploads beside it.

Prints the load's rate, the seconds from an interactive upload until it can be found, and the final counts, which must
be exactly the number of files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.client import Client
from benchmarks.spine import SEED, platform
from cluster.demo.generate import corpus, write
from cluster.demo.people import CLINICIANS
from stores.postgres import Postgres
from tests.platform import Platform

OWNER, INTERACTIVE = CLINICIANS


async def indexed(running: Platform) -> int:
    """Bulk documents that can be found."""
    async with Postgres.of(running.settings, running.secrets, "processing").connection() as connection:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM job WHERE lane = 'bulk' AND status = 'indexed'"
        )
    return count


def submit(running: Platform, folder: Path) -> subprocess.Popen[str]:
    arguments = (
        "ingest",
        str(folder),
        "--owner",
        OWNER.username,
        "--patient-from",
        "folder",
        "--patient-system",
        "DEMO",
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "cluster.cli", *arguments],
        env=running.environment,
        cwd=running.settings.data_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def job_processes(running: Platform) -> list[Any]:
    return [process for process in running.processes("ray") if "cluster.ingest" in process.cmdline()]


def interactive(client: Client, number: int) -> float:
    """Seconds from an upload until search may find it."""
    began = time.perf_counter()
    text = f"Clinic note {number} of {time.time()}. No evidence of pneumonia, known asthma."
    document = client.upload(text.encode(), filename=f"note-{number}.txt")
    assert client.wait(document) == "indexed"
    return time.perf_counter() - began


def run(documents: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary) / "files"
        write(corpus(documents, seed=SEED), folder)
        with platform(Path(temporary) / "data", 2) as (running, _):
            client = Client(running.base_url, INTERACTIVE)
            uploads = [interactive(client, number) for number in range(3)]
            began = time.perf_counter()
            first = submit(running, folder)
            while asyncio.run(indexed(running)) < documents // 2:
                time.sleep(1)
            for process in job_processes(running):
                process.send_signal(signal.SIGKILL)
            first.communicate(timeout=120)
            again = submit(running, folder)
            beside = []
            while again.poll() is None and asyncio.run(indexed(running)) < documents:
                beside.append(interactive(client, 100 + len(beside)))
                time.sleep(5)
            output, _ = again.communicate(timeout=4 * 3600)
            seconds = time.perf_counter() - began
            return {
                "seed": SEED,
                "documents": documents,
                "indexed": asyncio.run(indexed(running)),
                "exit_codes": [first.returncode, again.returncode],
                "seconds": round(seconds, 1),
                "documents_per_second": round(documents / seconds, 2),
                "interactive_idle_seconds": round(statistics.median(uploads), 2),
                "interactive_beside_load_seconds": {
                    "median": round(statistics.median(beside), 2), "longest": round(max(beside), 2), "uploads": len(beside)
                },
                "report": output.strip().splitlines()[-12:],
            }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=2000, help="files to load (default 2000)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/bulk.json"))
    arguments = parser.parse_args()
    figures = run(arguments.documents)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=2))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

"""Bulk loads on a whole platform: by command, killed half way, beside an interactive upload."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cluster.demo.generate import corpus, write
from tests.e2e.conftest import Person
from tests.platform import until

COUNT = 30


@pytest.fixture
def owner(person: Callable[[], Person]) -> Person:
    owner = person()
    owner.login()
    return owner


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    write(corpus(COUNT, seed=11), folder)
    return folder


def documents(owner: Person) -> int:
    """How many documents the owner can find."""
    done = owner.medsearch("search", "--limit", "1", "--json")
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["total"]["value"])


def running_jobs(folder: Path) -> list[psutil.Process]:
    """The processes of loads of this folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if str(folder) in arguments and "cluster.ingest" in arguments:
            found.append(process)
    return found


def ingest(owner: Person, folder: Path, *options: str):
    return owner.medsearch("ingest", str(folder), "--owner", owner.username, *options, timeout=280)


def test_killed_half_way_and_run_again_with_an_upload_beside_it(
    owner: Person, folder: Path, tmp_path: Path
) -> None:
    assert ingest(owner, folder, "--detach").returncode == 0
    until(lambda: running_jobs(folder) and documents(owner) >= 2, 120)
    for process in running_jobs(folder):
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: not running_jobs(folder), 30)

    (folder / "added.txt").write_text("The patient has scarlet fever.")
    assert ingest(owner, folder, "--detach").returncode == 0
    letter = tmp_path / "urgent.txt"
    letter.write_text("The patient has leptospirosis.")
    began = time.monotonic()
    done = owner.medsearch("upload", str(letter), "--wait")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60

    last = ingest(owner, folder)
    assert last.returncode == 0, last.stdout + last.stderr
    assert f"{COUNT + 1} files in" in last.stdout
    assert "of them were there before this run" in last.stdout
    assert "Nothing failed." in last.stdout
    until(lambda: not running_jobs(folder), 60)
    assert documents(owner) == COUNT + 2

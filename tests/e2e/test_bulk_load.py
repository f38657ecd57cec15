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

COUNT = 40


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


def running_jobs(owner: Person, folder: Path) -> list[psutil.Process]:
    """The processes of loads of this folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if str(folder) in arguments and "cluster.ingest" in arguments:
            found.append(process)
    return found


def ingest(owner: Person, folder: Path, *options: str):
    return owner.medsearch("ingest", str(folder), "--owner", owner.username, *options, timeout=280)


def test_killed_half_way_and_submitted_again_ends_with_each_once(owner: Person, folder: Path) -> None:
    assert ingest(owner, folder, "--detach").returncode == 0
    until(lambda: running_jobs(owner, folder) and documents(owner) >= 3, 120)
    for process in running_jobs(owner, folder):
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: not running_jobs(owner, folder), 30)

    (folder / "letter.txt").write_text("Possible scarlet fever, seen in the emergency room.")
    done = ingest(owner, folder, "--patient-from", "none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{COUNT + 1} files in" in done.stdout
    assert "Nothing failed." in done.stdout
    assert documents(owner) == COUNT + 1


def test_an_interactive_upload_goes_first(owner: Person, folder: Path, tmp_path: Path) -> None:
    assert ingest(owner, folder, "--detach").returncode == 0
    until(lambda: bool(running_jobs(owner, folder)), 60)
    letter = tmp_path / "urgent.txt"
    letter.write_text("The patient has leptospirosis.")
    began = time.monotonic()
    done = owner.medsearch("upload", str(letter), "--wait")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    found = json.loads(owner.medsearch("search", "leptospirosis", "--mode", "lexical", "--json").stdout)
    assert found["total"]["value"] == 1
    until(lambda: not running_jobs(owner, folder), 240)
    assert documents(owner) == COUNT + 1


def test_failures_end_with_exit_code_one(owner: Person, tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (share / "good.txt").write_text("The patient has measles.")
    (share / "empty.pdf").touch()
    done = ingest(owner, share)
    assert done.returncode == 1
    assert "empty.pdf: The file is empty." in done.stdout
    assert documents(owner) == 1


def test_an_unknown_owner_is_told(owner: Person, folder: Path) -> None:
    done = owner.medsearch("ingest", str(folder), "--owner", "nobody-at-all")
    assert done.returncode == 1
    assert "There is no account 'nobody-at-all'" in done.stdout

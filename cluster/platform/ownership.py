"""Which processes are ours: those we started, their descendants, and what is left of them after a crash.

Every process of a platform carries a mark in its environment: the part it belongs to and the data folder.
Some programs overwrite their environment to show a title, so descendants and members of a session that one of
our servers opened count as well. Nothing is ever looked up by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "_MEDSEARCH_PLATFORM"
"""Environment variable; not a setting, hence the underscore in front."""

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Session:
    """A Unix session that one of our servers opened.

    `started` tells it from a later one with the same number.
    """

    sid: int
    started: float

    @classmethod
    def led_by(cls, pid: int) -> Session:
        return cls(pid, psutil.Process(pid).create_time())


def mark(part: str, data_dir: Path) -> dict[str, str]:
    """The environment that makes a process, and what it starts, ours."""
    return {MARK: f"{part}:{data_dir}"}


def adopt_orphans() -> None:
    """From now on, descendants whose parent dies become children of this process (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def adopted_zombies(known: Collection[int]) -> set[int]:
    """Dead children of this process, but for those in `known`."""
    found = set()
    for child in psutil.Process().children():
        try:
            if child.pid not in known and child.status() == psutil.STATUS_ZOMBIE:
                found.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def reap(pids: Iterable[int]) -> None:
    """Collect dead children."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue


def owned(data_dir: Path, sessions: Iterable[Session] = (), part: str | None = None) -> list[psutil.Process]:
    """Live processes of the platform on `data_dir` (of one part of it); never this one or an ancestor."""
    opened = {session.sid: session.started for session in sessions}
    kept = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid not in kept and (_marked(process, part, data_dir) or _in_session(process, opened)):
            found[process.pid] = process
    for process in list(found.values()):
        for child in _descendants(process):
            if child.pid not in kept:
                found[child.pid] = child
    return [process for process in found.values() if alive(process)]


def terminate(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """SIGTERM, wait at most `seconds`, then SIGKILL; returns what is alive even then."""
    processes = list(processes)
    for process in processes:
        _signal(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(processes, timeout=seconds)
    return kill(stubborn)


def kill(processes: Iterable[psutil.Process], seconds: float = 3) -> list[psutil.Process]:
    """SIGKILL and wait; returns what is alive even then."""
    processes = list(processes)
    for process in processes:
        _signal(process, signal.SIGKILL)
    _, left = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in left if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # refused when the number now belongs to another process


def _marked(process: psutil.Process, part: str | None, data_dir: Path) -> bool:
    try:
        of_part, _, of_folder = process.environ().get(MARK, "").partition(":")
    except (psutil.Error, OSError):
        return False
    return of_folder == str(data_dir) and part in (None, of_part)


def _in_session(process: psutil.Process, opened: dict[int, float]) -> bool:
    try:
        started = opened.get(os.getsid(process.pid))
        return started is not None and process.create_time() >= started
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []

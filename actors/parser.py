"""Opening an untrusted file: in a child process that may die for it, one child a file.

The child has limits on memory, processor time, wall time, open files and file size, an own temporary folder,
an empty environment, no network where the system allows that (`network_isolation`), and dies with us.
One child waits ready, because starting Python costs more than reading a page.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from config.settings import ParserSettings
from domain.jobs import QUARANTINES, REJECTIONS, Failure
from domain.text import Extraction
from models.extraction.detection import PDF_PARSERS as PARSERS
from models.extraction.exchange import Limits, Request, load_outcome

CHILD = "models.extraction.child"
LAUNCHER = "actors.confinement"
OPEN_FILES = 64
FILE_BYTES = 256 * 1024 * 1024
"""Largest file the child may write: its answer, with room for JSON's escapes."""

LOOK_SECONDS = 0.02
"""How often a child's memory is looked at."""


class Parser(Protocol):
    """Turns an untrusted file into the text of its pages."""

    async def parse(self, path: Path, *, attempt: int) -> Extraction | Failure: ...


def network_isolation() -> bool:
    """Whether parser children have no network on this machine."""
    probe = subprocess.run(
        _command("--probe"), env=_environment(Path.cwd()), check=False, capture_output=True
    )
    return probe.returncode == 0


def default_scratch() -> Path:
    """Where children's temporary folders lie: on this machine, for this user."""
    return Path(tempfile.gettempdir()) / f"medsearch-parser-{os.geteuid()}"


class SandboxedParser:
    """`Parser` by children of this process. Close it, or a waiting child stays until this process ends."""

    def __init__(self, limits: ParserSettings, *, scratch: Path | None = None, module: str = CHILD) -> None:
        self._limits = limits
        self._module = module
        self._scratch = scratch or default_scratch()
        self._ready: _Child | None = None
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_orphans(self._scratch)

    async def parse(self, path: Path, *, attempt: int) -> Extraction | Failure:
        """The text of the file; what goes wrong is a `Failure`: `out_of_memory cpu_limit wall_limit
        parser_crashed`, or the child's own.

        Every second attempt leaves the first parser out, in case that is what the file breaks.
        """
        request = Request(
            path=path.absolute(),
            output=Path("outcome"),
            max_pages=self._limits.max_pages,
            parsers=PARSERS if attempt % 2 else PARSERS[1:],
            limits=Limits(
                memory_bytes=self._limits.memory_bytes,
                cpu_seconds=self._limits.cpu_seconds,
                file_bytes=FILE_BYTES,
                open_files=OPEN_FILES,
            ),
        )
        child = self._take()
        try:
            outcome = await child.run(request, self._limits)
        finally:
            child.discard()
        self._ready = self._ready or _Child.start(self._scratch, self._module)
        return outcome

    def close(self) -> None:
        """End the waiting child."""
        child, self._ready = self._ready, None
        if child is not None:
            child.discard()

    def _take(self) -> _Child:
        child, self._ready = self._ready, None
        if child is not None and child.process.poll() is None:
            return child
        if child is not None:
            child.discard()
        return _Child.start(self._scratch, self._module)


@dataclass(slots=True)
class _Child:
    """One process for one file, with its folder."""

    process: subprocess.Popen[bytes]
    folder: Path

    @classmethod
    def start(cls, scratch: Path, module: str) -> _Child:
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=scratch))
        try:
            process = subprocess.Popen(
                _command(str(os.getpid()), module),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(process, folder)

    async def run(self, request: Request, limits: ParserSettings) -> Extraction | Failure:
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(request.model_dump_json().encode() + b"\n")
            self.process.stdin.close()
        ended = asyncio.ensure_future(asyncio.to_thread(_wait_unreaped, self.process.pid))
        deadline = time.monotonic() + limits.wall_seconds
        peak = 0
        try:
            while not ended.done() and (left := deadline - time.monotonic()) > 0:
                peak = max(peak, _resident_bytes(self.process.pid))
                await asyncio.wait([ended], timeout=min(left, LOOK_SECONDS))
            in_time = ended.done()
        finally:
            self._kill()  # also what it started; its id is not free before it is reaped
            await asyncio.shield(ended)
            _, status, usage = _reap(self.process.pid)
            self.process.returncode = os.waitstatus_to_exitcode(status)
        if not in_time:
            return _failure("wall_limit")
        if self.process.returncode == 0:
            return await asyncio.to_thread(_outcome, self.folder / request.output)
        return _failure(_cause(self.process.returncode, usage, peak, limits))

    def discard(self) -> None:
        """End the process if it still runs, and remove its folder."""
        if self.process.returncode is None:
            self._kill()
            self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _wait_unreaped(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def _reap(pid: int) -> tuple[int, int, resource.struct_rusage]:
    """What became of a process that has ended."""
    return os.wait4(pid, 0)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-m", LAUNCHER, *arguments]


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}


def _outcome(path: Path) -> Extraction | Failure:
    """What the child wrote; it may have been taken over, so only failures that we know are taken from it."""
    try:
        outcome = load_outcome(path.read_bytes())
    except OSError:
        return _failure("parser_crashed")
    if isinstance(outcome, Failure) and outcome.code not in (REJECTIONS if outcome.final else QUARANTINES):
        return _failure("parser_crashed")
    return outcome


def _cause(code: int, usage: resource.struct_rusage, peak: int, limits: ParserSettings) -> str:
    """Why a child did not end well: what it used tells its limits from a crash or a kill."""
    killed = code in (-signal.SIGKILL, -signal.SIGXCPU)
    if killed and usage.ru_utime + usage.ru_stime >= limits.cpu_seconds / 2:
        return "cpu_limit"
    return "out_of_memory" if peak >= limits.memory_bytes / 2 else "parser_crashed"


def _resident_bytes(pid: int) -> int:
    """Memory that the process has held at most; 0 where the system does not tell.

    Not `ru_maxrss`: on Linux that counts what its parent held when it was started.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    peaks = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(next(peaks, "0")) * 1024


def _failure(code: str) -> Failure:
    return Failure(code, QUARANTINES[code][0])


def _remove_orphans(scratch: Path) -> None:
    """Remove the folders of processes that were killed."""
    for folder in scratch.iterdir():
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and not _lives(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Opening an untrusted file: in a child process that may die for it, one child a file.

The child has limits on memory, processor time, wall time, open files and file size, an own temporary folder,
an empty environment, no network where the system allows that (`network_isolation`), and dies with us. It is forked
by a zygote, a process of ours that has loaded the parsers and never opens a file (`actors.confinement`), because
loading them costs more than reading a page. A zygote whose child did not end well is replaced, so that no file can
try its luck again at the same addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import structlog

from config.settings import ParserSettings
from domain.errors import Unavailable
from domain.jobs import QUARANTINES, REJECTIONS, Failure
from domain.text import Extraction
from models.extraction.detection import PDF_PARSERS as PARSERS
from models.extraction.exchange import Ended, Limits, Request, load_outcome

CHILD = "models.extraction.child"
ZYGOTE = "actors.confinement"
OPEN_FILES = 64
FILE_BYTES = 64 * 1024 * 1024
"""Largest file the child may write: its answer (`models.extraction.MAX_CHARACTERS`), as UTF-8 in JSON."""

GRACE_SECONDS = 5.0
"""How much later than the wall limit a zygote may answer, and how long it may take to end."""

LOST = Ended(exit_code=-signal.SIGKILL)
"""What is known of a child whose zygote has gone."""

STUCK = Ended(exit_code=-signal.SIGKILL, in_time=False)


log = structlog.get_logger(__name__)


class Parser(Protocol):
    """Turns an untrusted file into the text of its pages."""

    async def parse(self, path: Path, *, attempt: int) -> Extraction | Failure: ...


def network_isolation() -> bool:
    """Whether parser children have no network on this machine."""
    probe = subprocess.run(_command("--probe"), env=_environment(), check=False, capture_output=True)
    return probe.returncode == 0


async def say_when_not_isolated(isolated: Callable[[], bool] = network_isolation) -> None:
    """A warning in the log when a parser that was taken over could reach the network."""
    if not await asyncio.to_thread(isolated):
        log.warning("parsers_reach_the_network", reason="the system allows no network namespace")


def default_scratch() -> Path:
    """Where children's temporary folders lie: on this machine, for this user."""
    return Path(tempfile.gettempdir()) / f"medsearch-parser-{os.geteuid()}"


class SandboxedParser:
    """`Parser` by children of a child of this process. Close it, or the zygotes stay until this process ends.

    Files that come at once have a zygote each.
    """

    def __init__(
        self,
        limits: ParserSettings,
        *,
        scratch: Path | None = None,
        module: str = CHILD,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._limits = limits
        self._grace = grace_seconds
        self._module = module
        self._scratch = scratch or default_scratch()
        self._idle: list[_Zygote] = []
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_orphans(self._scratch)

    def start(self) -> None:
        """Have the parsers loaded before the first file comes; raises `Unavailable`."""
        self._idle.append(self._taken())

    async def parse(self, path: Path, *, attempt: int) -> Extraction | Failure:
        """The text of the file; what goes wrong is a `Failure`: `out_of_memory cpu_limit wall_limit
        parser_crashed`, or the child's own.

        Every second attempt leaves the first parser out, in case that is what the file breaks. Raises
        `Unavailable` when this machine has no room or no process for a child.
        """
        with _folder(self._scratch) as folder:
            request = Request(
                path=path.absolute(),
                folder=folder,
                max_pages=self._limits.max_pages,
                parsers=PARSERS if attempt % 2 else PARSERS[1:],
                limits=Limits(
                    memory_bytes=self._limits.memory_bytes,
                    cpu_seconds=self._limits.cpu_seconds,
                    file_bytes=FILE_BYTES,
                    open_files=OPEN_FILES,
                    wall_seconds=self._limits.wall_seconds,
                ),
            )
            ended = await self._ended(request)
            if ended.exit_code == 0:
                return await asyncio.to_thread(_outcome, request.outcome)
            return _failure(_cause(ended, self._limits))

    def close(self) -> None:
        """End the zygotes."""
        while self._idle:
            self._idle.pop().end()

    async def _ended(self, request: Request) -> Ended:
        """How the request's child ended; its zygote is kept when that was well."""
        zygote, ended = self._taken(), LOST
        try:
            ended = await zygote.run(request)
        finally:
            if ended.exit_code == 0:
                self._idle.append(zygote)
            else:
                await asyncio.to_thread(zygote.end)
        return ended

    def _taken(self) -> _Zygote:
        """A zygote that has nothing to do, or a new one."""
        while self._idle:
            zygote = self._idle.pop()
            if zygote.process.poll() is None:
                return zygote
            zygote.end()
        with _system_errors():
            return _Zygote.start(self._scratch, self._module, self._grace)


class _Zygote:
    """The process that forks children, one after the other."""

    def __init__(self, process: subprocess.Popen[bytes], grace_seconds: float) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - asked for
        self.process = process
        self._to, self._from = process.stdin, process.stdout
        self._grace = grace_seconds

    @classmethod
    def start(cls, scratch: Path, module: str, grace_seconds: float) -> _Zygote:
        return cls(
            subprocess.Popen(
                _command(str(os.getpid()), module),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=scratch,
                env=_environment(),
                start_new_session=True,
            ),
            grace_seconds,
        )

    async def run(self, request: Request) -> Ended:
        """How a child with this request ended; one that is cancelled must be followed by `end`."""
        asked = asyncio.ensure_future(asyncio.to_thread(self._ask, request))
        limit = (request.limits.wall_seconds or 0) + self._grace
        try:
            return await asyncio.wait_for(asyncio.shield(asked), limit)
        except TimeoutError:
            return STUCK

    def end(self) -> None:
        """End it together with a child at work."""
        with contextlib.suppress(BrokenPipeError):
            self._to.close()
        try:
            self.process.wait(self._grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._from.close()

    def _ask(self, request: Request) -> Ended:
        try:
            self._to.write(request.model_dump_json().encode() + b"\n")
            self._to.flush()
        except BrokenPipeError:
            return LOST
        answer = self._from.readline()
        return Ended.model_validate_json(answer) if answer else LOST


@contextlib.contextmanager
def _folder(scratch: Path) -> Iterator[Path]:
    """A folder for one child, removed with all that it leaves."""
    with _system_errors():
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"No process for a parser can be started ({type(error).__name__}). Try again in a moment.",
            code="parser.unavailable",
            retry_after=5,
        ) from error


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-m", ZYGOTE, *arguments]


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}


def _outcome(path: Path) -> Extraction | Failure:
    """What the child wrote; it may have been taken over, so only failures that we know are taken from it."""
    try:
        outcome = load_outcome(path.read_bytes())
    except OSError:
        return _failure("parser_crashed")
    if isinstance(outcome, Failure) and outcome.code not in (REJECTIONS if outcome.final else QUARANTINES):
        return _failure("parser_crashed")
    return outcome


def _cause(ended: Ended, limits: ParserSettings) -> str:
    """Why a child did not end well: what it used tells its limits from a crash or a kill."""
    if not ended.in_time:
        return "wall_limit"
    killed = ended.exit_code in (-signal.SIGKILL, -signal.SIGXCPU)
    if killed and ended.cpu_seconds >= limits.cpu_seconds / 2:
        return "cpu_limit"
    return "out_of_memory" if ended.peak_bytes >= limits.memory_bytes / 2 else "parser_crashed"


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

"""`python -m actors.confinement PARENT MODULE`: the parsers' zygote, which forks a confined child for each file.

It has loaded the parsers, which costs more than reading a page, and opens no file itself. It takes requests
(`models.extraction.exchange`) on its standard input, one at a time, has a child of its own run `MODULE.work` on
each, and answers with a line that says how the child ended. When its input ends, so do its child and it.

A child dies with the zygote, as the zygote does with its parent. It gains no rights, has its own session and
folder, none of our pipes, the limits of its request, and no network where the system allows a network namespace:
as root, or in a user namespace of its own. `python -m actors.confinement --probe` exits with 0 when it would have
none.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from models.extraction.exchange import Ended, Request

PROBE = "--probe"
ORPHANED = 70
"""Exit code when the parent was gone before we could tie ourselves to it."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000

Work = Callable[[Request], None]


def tie(parent: int) -> None:
    """Die with the parent, whose id this is; at once when it is gone already."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ORPHANED)


def confine() -> bool:
    """Confine this process as far as the system allows; whether it has no network now."""
    libc = ctypes.CDLL(None)
    if sys.platform.startswith("linux"):
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)
    return False


def serve(work: Work) -> None:
    """Have a child do each request that comes, until our input ends."""
    gc.freeze()
    for line in sys.stdin.buffer:
        ended = _done(work, Request.model_validate_json(line))
        sys.stdout.buffer.write(ended.model_dump_json().encode() + b"\n")
        sys.stdout.buffer.flush()


def _done(work: Work, request: Request) -> Ended:
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        _child(zygote, work, request)
    in_time = _ends(pid, request.limits.wall_seconds)
    for kill in (os.kill, os.killpg):  # also what it started; its id is not free before it is reaped
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return Ended(
        exit_code=os.waitstatus_to_exitcode(status),
        in_time=in_time,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )


def _ends(pid: int, seconds: float | None) -> bool:
    """Wait for the end of a child; False when it takes too long or nobody wants it any more."""
    child = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([child, sys.stdin.fileno()], [], [], seconds)
    finally:
        os.close(child)
    return child in ready


def _child(zygote: int, work: Work, request: Request) -> NoReturn:
    code = 1
    try:
        os.setsid()
        tie(zygote)
        _leave_pipes()
        confine()
        os.chdir(request.folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(request.folder)
        request.limits.apply()
        work(request)
        code = 0
    finally:
        # Parsers may hang or crash while the interpreter takes them down; the outcome is safe already.
        os._exit(code)


def _leave_pipes() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def main(arguments: list[str]) -> int:
    if arguments == [PROBE]:
        return 0 if confine() else 1
    parent, module = arguments
    tie(int(parent))
    serve(import_module(module).work)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

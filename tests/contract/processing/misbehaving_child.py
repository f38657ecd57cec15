"""A parser child that does what its file tells it to: stands in for files that break real parsers."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from domain.jobs import Failure
from domain.text import Extraction, Page
from models.extraction.exchange import Request, dump_outcome

LIMITS = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE")


def act(order: dict[str, Any]) -> Any:  # noqa: C901 - one case a misdeed
    """What the file orders; the value is reported as the text of page 1."""
    match order:
        case {"do": "allocate"}:
            held = []
            while True:
                held.append(b"x" * (8 * 1024 * 1024))
        case {"do": "abort when out of memory"}:
            try:
                act({"do": "allocate"})
            except MemoryError:
                os.kill(os.getpid(), signal.SIGABRT)
        case {"do": "spin"}:
            while True:
                pass
        case {"do": "sleep", "pid_file": pid_file}:
            Path(pid_file).write_text(str(os.getpid()))
            time.sleep(600)
        case {"do": "crash"}:
            ctypes.string_at(0)
        case {"do": "leave"}:
            os._exit(0)
        case {"do": "raise"}:
            raise RuntimeError("unexpected")
        case {"do": "start a helper"}:
            Path("leftover").write_text("x")
            return subprocess.Popen(["sleep", "600"]).pid
        case {"do": "report"}:
            limits = {name: resource.getrlimit(getattr(resource, name))[0] for name in LIMITS}
            return {
                "pid": os.getpid(),
                "parent": os.getppid(),
                "env": dict(os.environ),
                "cwd": str(Path.cwd()),
                "temporary": tempfile.gettempdir(),
                "limits": limits,
                "open": sorted(
                    str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()
                ),
            }
        case {"do": "fail", "code": code, "final": final}:
            return Failure(code, "", final)
        case {"do": "connect", "port": port}:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
            except OSError:
                return "refused"
            return "connected"
    return None


def work(request: Request) -> None:
    answer = act(json.loads(request.path.read_text()))
    if isinstance(answer, Failure):
        request.outcome.write_bytes(dump_outcome(answer))
        return
    pages = (Page(1, json.dumps([answer, list(request.parsers)])),)
    request.outcome.write_bytes(dump_outcome(Extraction("text/plain", pages)))

"""One platform a data folder: a file lock that the kernel releases when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from domain.errors import MedsearchError


class AlreadyRunning(MedsearchError):
    """Another `medsearch up` holds the data folder."""

    code = "platform.already_running"


class PlatformLock:
    """Held while the object lives and `release` was not called. Children do not inherit it."""

    def __init__(self, path: Path) -> None:
        """Take the lock or raise `AlreadyRunning`; a lock whose holder died is free."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AlreadyRunning(
                f"A platform already runs on {path.parent.parent} (process {holder(path) or 'unknown'}). "
                "Stop it with 'medsearch down', or use another folder (MEDSEARCH_DATA_DIR) and other ports."
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def holder(path: Path) -> int | None:
    """The process that holds the lock, or None when it is free."""
    try:
        with path.open("r+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
            return None
    except FileNotFoundError:
        return None

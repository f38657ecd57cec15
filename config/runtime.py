"""Where the embedded servers of a data folder are found: a pure function of the folder, so that every process agrees."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from config.settings import Settings

SOCKET_PATH_LIMIT = 107
"""Bytes in `sockaddr_un.sun_path` on Linux, without the closing NUL."""


def socket_dir(settings: Settings) -> Path:
    """Folder of the Unix sockets of the embedded servers; short enough for `sockaddr_un`.

    Normally `run/` in the data folder; for a long path a folder in the temporary directory, named by the
    data folder's hash.
    """
    preferred = settings.data_dir / "run"
    if len(os.fsencode(preferred / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_LIMIT:
        return preferred
    digest = hashlib.sha256(os.fsencode(settings.data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"medsearch-{digest}"


def redis_socket(settings: Settings) -> Path:
    return socket_dir(settings) / "redis.sock"

"""Threads that give way to others where processors are scarce."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress


def give_way(niceness: int) -> None:
    """Bring the calling thread to this niceness, or leave it where it gives way more already; only Linux can."""
    if sys.platform == "linux":
        with suppress(OSError):
            own = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, own, max(niceness, os.getpriority(os.PRIO_PROCESS, own)))

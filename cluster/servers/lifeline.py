"""Servers that do not outlive the process that started them, even when that was killed (Linux with
util-linux).
"""

from __future__ import annotations

import shutil
import signal


def tied(argv: list[str], number: signal.Signals = signal.SIGTERM) -> list[str]:
    """`argv`, wrapped so that the kernel sends it `number` when the starting thread ends.

    Unchanged elsewhere.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, f"--pdeathsig={number.name.removeprefix('SIG')}", "--", *argv] if setpriv else argv

"""`python -m actors.confinement PARENT MODULE`: confines this process, then runs the parser child in it.

It dies with its parent, gains no rights, and has no network where the system allows a network namespace: as
root, or in a user namespace of its own. Memory, time and file limits are set by the child with its request.
`python -m actors.confinement --probe` exits with 0 when there would be no network.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PROBE = "--probe"
ORPHANED = 70
"""Exit code when the parent was gone before we could tie ourselves to it."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000


def confine() -> bool:
    """Confine this process as far as the system allows; whether it has no network now."""
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform.startswith("linux"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)
    return False


def main(arguments: list[str]) -> int:
    isolated = confine()
    if arguments == [PROBE]:
        return 0 if isolated else 1
    parent, module = arguments
    if os.getppid() != int(parent):
        return ORPHANED
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

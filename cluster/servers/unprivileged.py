"""Starting a server that refuses to be root, when we are root.

The server runs as `nobody` with the one capability CAP_DAC_OVERRIDE, so that its binaries and the data folder
may lie below folders that only root may enter (a 0700 home, a temporary folder).
"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from domain.errors import MedsearchError

USER = "nobody"


class NoUnprivilegedUser(MedsearchError):
    """We are root and cannot become somebody else."""

    code = "platform.root"


def command(argv: list[str]) -> list[str]:
    """`argv`, wrapped so that it runs unprivileged when we are root; unchanged otherwise."""
    if os.geteuid() != 0:
        return argv
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NoUnprivilegedUser(
            "Postgres refuses to run as root and 'setpriv' (util-linux) is missing: run as a plain user."
        )
    account = pwd.getpwnam(USER)
    capability = "+dac_override"
    return [
        setpriv,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        f"--inh-caps={capability}",
        f"--ambient-caps={capability}",
        "--",
        *argv,
    ]


def own(folder: Path, mode: int = 0o700) -> Path:
    """Make `folder` and give it to the account that `command` runs as."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    if os.geteuid() == 0:
        account = pwd.getpwnam(USER)
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder

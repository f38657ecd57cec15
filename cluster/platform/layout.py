"""Where the platform keeps its own files inside the data folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.runtime import SOCKET_PATH_LIMIT
from config.settings import Settings
from domain.errors import MedsearchError

RAY_SOCKET_SUFFIX = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")


class FolderRefused(MedsearchError):
    """A folder that must be ours alone is not."""

    code = "platform.folder"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one data folder."""

    data_dir: Path

    @classmethod
    def of(cls, settings: Settings) -> Layout:
        return cls(settings.data_dir)

    @property
    def lock(self) -> Path:
        return self.data_dir / "platform" / "lock"

    @property
    def state(self) -> Path:
        """What the running supervisor says about itself (`cluster.platform.state`)."""
        return self.data_dir / "platform" / "state.json"

    @property
    def ray_token(self) -> Path:
        """Ray's token as Ray wants it: in a 0600 file."""
        return self.data_dir / "platform" / "ray-token"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def ray(self) -> Path:
        """Ray's sessions, with its sockets and logs; short enough for a Unix socket."""
        preferred = self.data_dir / "ray"
        if len(os.fsencode(preferred)) + RAY_SOCKET_SUFFIX <= SOCKET_PATH_LIMIT:
            return preferred
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"medsearch-ray-{digest}" / "ray"

    def prepare(self) -> None:
        """Make the folders; what is inside the data folder, and Ray's sockets, is for its owner alone."""
        _private(self.data_dir)
        if self.data_dir not in self.ray.parents:
            _private(self.ray.parent)
        for folder in (self.lock.parent, self.logs, self.ray):
            folder.mkdir(exist_ok=True, mode=0o700)


def _private(folder: Path) -> None:
    """Make `folder` for us alone; raises `FolderRefused` when it is somebody else's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.geteuid():
        raise FolderRefused(
            f"{folder} belongs to another user: choose another folder (MEDSEARCH_DATA_DIR, TMPDIR)."
        )
    folder.chmod(0o700)

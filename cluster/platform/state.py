"""What a running platform says about itself, for `status`, `down` and the next `up`: one JSON file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.platform.ownership import Session


@dataclass(frozen=True, slots=True)
class PlatformState:
    """`phase` is starting, ready, recovering or stopping.

    `servers` maps a name to the pid of its first process.
    """

    pid: int
    phase: str
    waiting_for: str = ""
    servers: dict[str, int] = field(default_factory=dict)
    sessions: tuple[Session, ...] = ()
    restarts: dict[str, int] = field(default_factory=dict)
    problem: str = ""


class StateFile:
    """Written by the supervisor alone, by rename, so that readers never see half of it."""

    def __init__(self, path: Path, state: PlatformState) -> None:
        self._path = path
        self.state = state

    def update(self, **changes: Any) -> None:
        changed = replace(self.state, **changes)
        if changed == self.state and self._path.exists():
            return
        self.state = changed
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(asdict(changed)), encoding="utf-8")
        temporary.replace(self._path)


def read(path: Path) -> PlatformState | None:
    """The last state written, or None; whether its writer still lives is for the lock to say."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return PlatformState(**{**raw, "sessions": tuple(Session(**session) for session in raw["sessions"])})


def fresh_state(path: Path, earlier: PlatformState | None) -> StateFile:
    """The file of a supervisor that begins in this process.

    It keeps the sessions of the one before, to clear them.
    """
    file = StateFile(
        path, PlatformState(os.getpid(), "starting", sessions=earlier.sessions if earlier else ())
    )
    file.update()
    return file

"""The state file: written whole, read back equal, silent when absent."""

from __future__ import annotations

from pathlib import Path

from cluster.platform import state
from cluster.platform.ownership import Session
from cluster.platform.state import PlatformState, fresh_state


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert state.read(path) is None
    file = fresh_state(path, None)
    file.update(phase="ready", servers={"redis": 7}, sessions=(Session(7, 1.5),), restarts={"redis": 2})
    assert state.read(path) == file.state
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_supervisor_keeps_the_sessions_of_the_one_before_to_clear_them(tmp_path: Path) -> None:
    earlier = PlatformState(pid=1, phase="ready", servers={"redis": 7}, sessions=(Session(7, 1.5),))
    fresh = fresh_state(tmp_path / "state.json", earlier).state
    assert (fresh.sessions, fresh.phase, fresh.servers) == (earlier.sessions, "starting", {})


def test_half_a_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"pid": 1')
    assert state.read(path) is None

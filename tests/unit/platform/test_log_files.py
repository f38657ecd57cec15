"""Logs by name."""

from __future__ import annotations

from pathlib import Path

from cluster.platform.layout import Layout
from cluster.platform.log_files import follow, log_files, matching, tail


def test_our_logs_and_those_of_rays_session_have_names(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    (layout.logs / "postgres.log").write_text("p\n")
    inner = layout.ray / "session_latest" / "logs" / "serve"
    inner.mkdir(parents=True)
    (inner / "replica_auth.log").write_text("a\n")
    (inner / "empty.log").touch()
    files = log_files(layout)
    assert sorted(files) == ["postgres", "ray/serve/replica_auth.log"]
    assert list(matching(files, "postgres")) == ["postgres"]
    assert list(matching(files, "auth")) == ["ray/serve/replica_auth.log"]
    assert matching(files, "nothing") == {}


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail(path, 2) == "line 998\nline 999\n"
    assert len(tail(path, 5000).splitlines()) == 1000


def test_following_gives_what_is_written_later_and_starts_over_after_truncation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    lines = follow({"log": path}, pause=0)
    path.write_text("old\nnew\n")
    assert next(lines) == ("log", "new\n")
    path.write_text("x\n")
    assert next(lines) == ("log", "x\n")

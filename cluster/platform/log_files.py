"""The log files of a platform by name, and reading them as they grow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from cluster.platform.layout import Layout


def log_files(layout: Layout) -> dict[str, Path]:
    """Name -> file: `platform`, `postgres`, `redis`, `ray`, and `ray/...` for each file of Ray's current
    session.
    """
    files = {path.stem: path for path in sorted(layout.logs.glob("*.log"))}
    session = layout.ray / "session_latest" / "logs"
    inside = sorted(path for path in session.rglob("*") if path.is_file() and path.stat().st_size)
    return files | {f"ray/{path.relative_to(session)}": path for path in inside}


def matching(files: Mapping[str, Path], name: str) -> dict[str, Path]:
    """The file of that very name, else those whose name contains it."""
    return {name: files[name]} if name in files else {key: path for key, path in files.items() if name in key}


def tail(path: Path, lines: int) -> str:
    """The last `lines` lines."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * lines))
        return "".join(file.read().decode(errors="replace").splitlines(keepends=True)[-lines:])


def follow(files: Mapping[str, Path], pause: float = 0.3) -> Iterator[tuple[str, str]]:
    """Name and new text of what is written after this call, for ever.

    A file that shrank is read from its start.
    """
    positions = {name: path.stat().st_size for name, path in files.items()}
    return _growth(files, positions, pause)


def _growth(files: Mapping[str, Path], positions: dict[str, int], pause: float) -> Iterator[tuple[str, str]]:
    while True:
        for name, path in files.items():
            with path.open("rb") as file:
                file.seek(positions[name] if path.stat().st_size >= positions[name] else 0)
                text = file.read()
                positions[name] = file.tell()
            if text:
                yield name, text.decode(errors="replace")
        time.sleep(pause)

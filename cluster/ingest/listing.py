"""Which files of a folder a bulk load takes, and which it leaves out and why."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from domain.errors import Invalid

Readable = Callable[[Path], bool]


class PatientFrom(StrEnum):
    """Where a bulk load takes a document's patient from."""

    NONE = "none"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Listing:
    """Files to load in a stable order, and what was left out."""

    files: tuple[Path, ...]
    skipped: Counter[str] = field(default_factory=Counter)
    """Counts: `hidden`, `outside` (links that lead out of the folder), `special` (sockets, devices)."""
    unreadable: tuple[tuple[Path, str], ...] = ()
    """Folders and links that could not be looked into: path and reason."""


def list_folder(folder: Path) -> Listing:
    """Every regular file below `folder`. Links are followed to files inside it only, never to folders.

    Raises `Invalid` when `folder` is not an absolute path of a readable folder.
    """
    if not folder.is_absolute() or not folder.is_dir():
        raise Invalid(f"{folder} is not the absolute path of a folder.", code="bulk.folder")
    root = folder.resolve()
    files: list[Path] = []
    skipped: Counter[str] = Counter()
    unreadable: list[tuple[Path, str]] = []

    def failed(error: OSError, path: Path | None = None) -> None:
        unreadable.append((path or Path(error.filename), error.strerror or type(error).__name__))

    for parent, folders, names in os.walk(root, onerror=failed):
        skipped["hidden"] += sum(_hidden(name) for name in (*folders, *names))
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in sorted(name for name in names if not _hidden(name)):
            path = Path(parent, name)
            try:
                reason = _left_out(path, root)
            except OSError as error:
                failed(error, path)
            else:
                skipped[reason] += 1 if reason else 0
                files += [] if reason else [path]
    return Listing(tuple(files), +skipped, tuple(unreadable))


def patient_of(file: Path, root: Path, source: PatientFrom, system: str | None) -> str | None:
    """The record number `SYSTEM|NUMBER` of a file: the name of the first folder below `root`, or none."""
    inside = file.relative_to(root).parts[:-1]
    return f"{system}|{inside[0]}" if source is PatientFrom.FOLDER and inside else None


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _left_out(path: Path, root: Path) -> str:
    """Why the file is not taken; empty when it is."""
    if path.is_symlink() and not Path(os.path.realpath(path, strict=True)).is_relative_to(root):
        return "outside"
    return "" if stat.S_ISREG(path.stat().st_mode) else "special"

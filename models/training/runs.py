"""What every training needs: lines with the time, files that are whole or not there, an end in between."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def say(line: str) -> None:
    """A line of progress, on standard error."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def write_whole(path: Path, content: Any) -> None:
    """Save with torch; a crash leaves what was there before."""
    fresh = path.with_suffix(".new")
    torch.save(content, fresh)
    fresh.replace(path)


def origin(plan: DataclassInstance, data: Mapping[str, str]) -> str:
    """Names what a training is made by: its plan, and the digests of its data."""
    return json.dumps([asdict(plan), dict(data)], sort_keys=True)


def saved(path: Path, made_by: str) -> dict[str, Any] | None:
    """The checkpoint in `path`, a mapping with its `origin`, if there is one.

    Raises `ValueError` for that of another plan or other data: its weights would be taken for what they are not.
    """
    if not path.is_file():
        return None
    kept: dict[str, Any] = torch.load(path, weights_only=True)
    if kept.get("origin") != made_by:
        raise ValueError(
            f"{path} is of a training with another plan or other data: remove it, or choose another folder."
        )
    return kept


def on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` instead of ending, at Ctrl-C and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop())

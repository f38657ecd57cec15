"""What every training needs: lines with the time, files that are whole or not there."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch


def say(line: str) -> None:
    """A line of progress, on standard error."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def write_whole(path: Path, content: Any) -> None:
    """Save with torch; a crash leaves what was there before."""
    fresh = path.with_suffix(".new")
    torch.save(content, fresh)
    fresh.replace(path)

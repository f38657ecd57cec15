"""Compiles vocabulary and index of the packaged terminologies into a folder: `python -m tests.compiled FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from models.linking import load_linker
from models.terminology import ensure_vocabulary

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    load_linker(ensure_vocabulary(folder), cache_dir=folder)

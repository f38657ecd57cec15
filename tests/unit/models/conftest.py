"""The real vocabulary, compiled once a session from the packaged terminologies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.terminology import Vocabulary, ensure_vocabulary


@pytest.fixture(scope="session")
def vocabulary_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all test processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def vocabulary(vocabulary_cache: Path) -> Vocabulary:
    return ensure_vocabulary(vocabulary_cache)

"""The real vocabulary, compiled once a session from the packaged terminologies."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.terminology import Vocabulary, ensure_vocabulary


@pytest.fixture(scope="session")
def vocabulary_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def vocabulary(vocabulary_cache: Path) -> Vocabulary:
    return ensure_vocabulary(vocabulary_cache)

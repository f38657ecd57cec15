"""The real vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.terminology import Vocabulary, ensure_vocabulary


@pytest.fixture(scope="session")
def vocabulary(vocabulary_cache: Path) -> Vocabulary:
    return ensure_vocabulary(vocabulary_cache)

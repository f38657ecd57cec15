"""The real vocabulary and the real linker."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.linking import Linker, load_linker
from models.terminology import Vocabulary, ensure_vocabulary


@pytest.fixture(scope="session")
def vocabulary(vocabulary_cache: Path) -> Vocabulary:
    return ensure_vocabulary(vocabulary_cache)


@pytest.fixture(scope="session")
def linker(vocabulary: Vocabulary, vocabulary_cache: Path) -> Linker:
    return load_linker(vocabulary, cache_dir=vocabulary_cache)

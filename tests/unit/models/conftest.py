"""The real vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.linking import Linker
from models.linking.index import NameIndex, build_index, index_version
from models.linking.vectors import read_weights
from models.terminology import Vocabulary, ensure_vocabulary
from models.terminology.merging import merge
from models.terminology.sources import Entry, human_phenotypes, mesh_diseases


@pytest.fixture(scope="session")
def vocabulary(vocabulary_cache: Path) -> Vocabulary:
    return ensure_vocabulary(vocabulary_cache)


@pytest.fixture(scope="session")
def linker(vocabulary: Vocabulary, vocabulary_cache: Path) -> Linker:
    """The real vocabulary and weights over an index of some thousand names, where the commands find it."""
    weights = read_weights()
    version = index_version(weights.digest)
    folder = vocabulary_cache / f"linking-{version}"
    build_index(
        folder, merge(some_entries(), {}, set(), lambda _, key: bool(key)), weights.vectors, version=version
    )
    return Linker(vocabulary, NameIndex(folder, version), weights.vectors, weights.logit)


def some_entries() -> list[Entry]:
    """Each tenth phenotype and disease."""
    return [*list(human_phenotypes())[::10], *list(mesh_diseases())[::10]]

"""The search service over fakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.search_world import PneumoniaNames, World


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await World(tmp_path, names=PneumoniaNames()).open()

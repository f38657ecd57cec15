"""One platform with the stand-in application for all tests of the folder.

Whoever harms it waits until it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform import Platform, running_platform

STAND_IN = Path(__file__).with_name("stand_in.yaml")


@pytest.fixture(scope="package")
def shared_platform() -> Iterator[Platform]:
    with running_platform(STAND_IN, HTTP__BODY_LIMIT_BYTES="200000", LOG__LEVEL="debug") as running:
        yield running


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    """The shared platform, whole again whatever the test before did to it."""
    shared_platform.wait_ready()
    return shared_platform

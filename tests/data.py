"""Where the evaluation data is: `MEDSEARCH_TEST_DATA`, or `shared/data` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2] / "shared" / "data"


def evaluation_data(part: str) -> Path:
    """The folder `part` of the evaluation data; skips the test where it is absent, fails it under CI."""
    folder = Path(os.environ.get("MEDSEARCH_TEST_DATA", BESIDE)) / part
    if not folder.is_dir():
        absent = f"the evaluation data is absent: MEDSEARCH_TEST_DATA names no folder with {part}"
        assert not os.environ.get("CI"), absent
        pytest.skip(absent)
    return folder

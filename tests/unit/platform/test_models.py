"""A platform does not start with models that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.platform.launcher import check_models
from config.settings import ModelSettings
from models.encoders import ModelUnavailable
from models.recognition import clinical


def test_a_recogniser_without_weights_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clinical, "WEIGHTS", tmp_path)
    check_models(ModelSettings(recognizer="dictionary"))
    with pytest.raises(ModelUnavailable, match="install medsearch again"):
        check_models(ModelSettings())

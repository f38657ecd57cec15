"""`medsearch models`: what it lists, loads and measures; what is missing is one sentence and exit code 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cluster.cli.__main__ import app
from cluster.evaluation.runtimes import agreement, demo_passages, number_types
from config.settings import ModelSettings, NumberType
from models.encoders import ModelUnavailable


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path))


def test_shipped_and_chosen_models_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSEARCH_MODELS__ENCODER", str(tmp_path / "absent"))
    done = CliRunner().invoke(app, ["models", "list", "--json"])
    assert done.exit_code == 0
    rows = {row["setting"]: row for row in json.loads(done.stdout)}
    assert rows["minilm-l6"]["model"] == "minilm-l6@1"
    assert rows["minilm-l6"]["weights_bytes"] > 80_000_000
    assert not rows["minilm-l6"]["trouble"]
    assert rows["clinical"]["in_use"]
    absent = rows[str(tmp_path / "absent")]
    assert absent["in_use"]
    assert "no folder here" in absent["trouble"]
    for_people = CliRunner().invoke(app, ["models", "list"])
    assert for_people.exit_code == 0
    assert "minilm-l6@1" in for_people.stdout


def test_verify_loads_what_is_chosen_and_says_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vocabulary_cache: Path
) -> None:
    (tmp_path / "models").symlink_to(vocabulary_cache)
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MEDSEARCH_MODELS__NUMBER_TYPE", "float32")
    monkeypatch.setenv("MEDSEARCH_MODELS__DEVICE", "cpu")
    done = CliRunner().invoke(app, ["models", "verify", "--json"])
    assert done.exit_code == 0, done.stderr
    parts = {part["kind"]: part for part in json.loads(done.stdout)["loaded"]}
    assert parts["encoder"]["model"] == "minilm-l6@1"
    assert parts["encoder"]["runtime"] == "cpu float32"
    assert parts["together"]["memory_bytes"] > parts["encoder"]["memory_bytes"] >= 0


def test_what_is_absent_is_one_sentence_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSEARCH_MODELS__RECOGNIZER", str(tmp_path))
    done = CliRunner().invoke(app, ["models", "verify"])
    assert done.exit_code == 1
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


def test_number_types_are_measured_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSEARCH_MODELS__DEVICE", "cpu")
    arguments = ["--passages", "3", "--tokens", "20", "--rounds", "1"]
    types = ["--number-type", "float32", "--number-type", "bfloat16"]
    done = CliRunner().invoke(app, ["models", "benchmark", *arguments, *types, "--json"])
    assert done.exit_code == 0, done.stderr
    exact, rounded = json.loads(done.stdout)["runtimes"]
    assert (exact["runtime"], rounded["runtime"]) == ("cpu float32", "cpu bfloat16")
    assert exact["ratio"] == exact["nearest_overlap"] == 1
    assert exact["mean_cosine"] == pytest.approx(1, abs=1e-5)
    assert 0.99 < rounded["least_cosine"] < 1
    refused = CliRunner().invoke(app, ["models", "benchmark", *arguments, "--number-type", "float16"])
    assert refused.exit_code == 1
    assert "float16" in refused.stderr


def test_passages_of_the_benchmark_have_the_tokens_asked_for() -> None:
    texts = demo_passages(ModelSettings(), count=5, tokens=40)
    assert len(set(texts)) == 5
    assert all(text for text in texts)
    assert number_types("cpu")[0] is NumberType.FLOAT32


def test_agreement_of_vectors() -> None:
    one = np.eye(12, dtype=np.float32)
    assert agreement(one, one) == (1, 1, 1)
    mean, least, _ = agreement(one, -one)
    assert (mean, least) == (-1, -1)
    near = np.eye(30, dtype=np.float32)[:, :12] + 0.1
    assert agreement(near, near)[2] == 1
    with pytest.raises(ModelUnavailable, match="sizes"):
        agreement(one, np.eye(12, 3, dtype=np.float32))

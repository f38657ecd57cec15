"""The parser child as its parent starts it: one request in, one outcome file out, limits of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from domain.jobs import Failure
from domain.text import Extraction, Page
from models.extraction.exchange import dump_outcome, load_outcome


def run(tmp_path: Path, content: bytes, **request: Any) -> subprocess.CompletedProcess[bytes]:
    source = tmp_path / "source"
    source.write_bytes(content)
    asked = {"path": str(source), "output": str(tmp_path / "outcome"), "max_pages": 10, **request}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "models.extraction.child"],
        input=json.dumps(asked).encode() + b"\n",
        capture_output=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONSAFEPATH": "1"},
    )


def test_writes_the_outcome_and_prints_nothing(tmp_path: Path) -> None:
    finished = run(tmp_path, b"Fever since Monday.")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"", b"")
    outcome = load_outcome((tmp_path / "outcome").read_bytes())
    assert outcome == Extraction("text/plain", (Page(1, "Fever since Monday."),), parser="plain@1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outcome", "source"]


def test_a_rejection_is_an_outcome(tmp_path: Path) -> None:
    assert run(tmp_path, b"").returncode == 0
    outcome = load_outcome((tmp_path / "outcome").read_bytes())
    assert isinstance(outcome, Failure)
    assert outcome.code == "empty"


def test_memory_limit_holds(tmp_path: Path) -> None:
    limits = {"memory_bytes": 200 * 1024 * 1024}
    codes = []
    for content in (b"word", b"word " * 12_000_000):
        assert run(tmp_path, content, max_pages=1_000_000, limits=limits).returncode == 0
        outcome = load_outcome((tmp_path / "outcome").read_bytes())
        codes.append(outcome.code if isinstance(outcome, Failure) else None)
    assert codes == [None, "out_of_memory"]


def test_processor_time_limit_kills(tmp_path: Path) -> None:
    finished = run(tmp_path, b"word\n" * 10_000_000, max_pages=1_000_000, limits={"cpu_seconds": 1})
    assert finished.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
    assert not (tmp_path / "outcome").exists()


def test_limits_are_in_force_before_the_file_is_opened(tmp_path: Path) -> None:
    """With no file to open allowed, the source cannot be read."""
    finished = run(tmp_path, b"text", limits={"open_files": 3})
    assert finished.returncode != 0
    assert not (tmp_path / "outcome").exists()


def test_unknown_request_fields_are_refused(tmp_path: Path) -> None:
    assert run(tmp_path, b"text", surprise=1).returncode != 0


def test_models_are_not_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, models.extraction.child as c; "
        "print([m for m in ('torch', 'transformers', 'numpy', 'ray') if m in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert finished.stdout.strip() == b"[]"


@pytest.mark.parametrize("content", [b"", b"{", b'{"extraction": {"pages": 1}}', b"{}"])
def test_half_an_outcome_is_a_crash(content: bytes) -> None:
    outcome = load_outcome(content)
    assert isinstance(outcome, Failure)
    assert (outcome.code, outcome.final) == ("parser_crashed", False)


def test_outcomes_survive_the_exchange() -> None:
    extraction = Extraction(
        "application/pdf", (Page(1, "a\nß"), Page(2, "")), (2,), ("page_unreadable",), "p@1"
    )
    assert load_outcome(dump_outcome(extraction)) == extraction
    failure = Failure("encrypted", "The PDF is protected by a password.", final=True)
    assert load_outcome(dump_outcome(failure)) == failure

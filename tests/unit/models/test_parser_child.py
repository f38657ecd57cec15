"""The parser child as its zygote forks it: one request in, one outcome file out, limits of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from domain.jobs import Failure
from domain.text import Extraction, Page
from models.extraction import child
from models.extraction.exchange import Ended, Request, dump_outcome, load_outcome


def run(tmp_path: Path, content: bytes, **request: Any) -> Ended:
    """Have a zygote do one request."""
    source = tmp_path / "source"
    source.write_bytes(content)
    asked = {"path": str(source), "folder": str(tmp_path), "max_pages": 10, **request}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "actors.confinement", str(os.getpid()), child.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONSAFEPATH": "1"},
    ) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        zygote.stdin.write(json.dumps(asked).encode() + b"\n")
        zygote.stdin.flush()
        answer = zygote.stdout.readline()
        zygote.stdin.close()
        assert zygote.stdout.read() == b""
    assert zygote.returncode == 0
    return Ended.model_validate_json(answer)


def test_writes_the_outcome_and_nothing_else(tmp_path: Path) -> None:
    assert run(tmp_path, b"Fever since Monday.").exit_code == 0
    outcome = load_outcome((tmp_path / "outcome").read_bytes())
    assert outcome == Extraction("text/plain", (Page(1, "Fever since Monday."),), parser="plain@1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outcome", "source"]


def test_a_rejection_is_an_outcome(tmp_path: Path) -> None:
    assert run(tmp_path, b"").exit_code == 0
    outcome = load_outcome((tmp_path / "outcome").read_bytes())
    assert isinstance(outcome, Failure)
    assert outcome.code == "empty"


def test_memory_limit_holds(tmp_path: Path) -> None:
    limits = {"memory_bytes": 200 * 1024 * 1024}
    codes = []
    for content in (b"word", b"word " * 12_000_000):
        assert run(tmp_path, content, max_pages=1_000_000, limits=limits).exit_code == 0
        outcome = load_outcome((tmp_path / "outcome").read_bytes())
        codes.append(outcome.code if isinstance(outcome, Failure) else None)
    assert codes == [None, "out_of_memory"]


def test_processor_time_limit_kills(tmp_path: Path) -> None:
    ended = run(tmp_path, b"word\n" * 10_000_000, max_pages=1_000_000, limits={"cpu_seconds": 1})
    assert ended.exit_code in (-signal.SIGXCPU, -signal.SIGKILL)
    assert ended.cpu_seconds > 0.5
    assert not (tmp_path / "outcome").exists()


def test_wall_time_limit_kills(tmp_path: Path) -> None:
    ended = run(tmp_path, b"word\n" * 10_000_000, max_pages=1_000_000, limits={"wall_seconds": 0.1})
    assert (ended.exit_code, ended.in_time) == (-signal.SIGKILL, False)


def test_limits_are_in_force_before_the_file_is_opened(tmp_path: Path) -> None:
    """With no file to open allowed, the source cannot be read."""
    assert run(tmp_path, b"text", limits={"open_files": 3}).exit_code != 0
    assert not (tmp_path / "outcome").exists()


def test_unknown_request_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        Request.model_validate({"path": "a", "folder": "b", "max_pages": 1, "surprise": 1})


def test_the_parsers_are_loaded_with_the_child_and_models_are_not() -> None:
    wanted = ("pypdf", "pypdfium2", "torch", "transformers", "numpy", "ray")
    code = f"import sys, {child.__name__}; print([m for m in {wanted} if m in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert finished.stdout.strip() == b"['pypdf', 'pypdfium2']"


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

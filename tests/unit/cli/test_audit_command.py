"""`medsearch audit` without servers: what it refuses, and that a file is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.__main__ import app
from cluster.cli.audit_reading import written
from domain.errors import MedsearchError


def test_a_file_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "audit.csv"
    file.write_text("of last month")

    def half() -> None:
        with written(file) as out:
            out.write(b"half of it")
            raise MedsearchError("The connection broke.")

    with pytest.raises(MedsearchError, match="broke"):
        half()
    assert file.read_text() == "of last month"
    assert [one.name for one in tmp_path.iterdir()] == ["audit.csv"]
    with written(file) as out:
        out.write(b"all of it")
    assert file.read_text() == "all of it"


@pytest.mark.parametrize("command", ["verify", "prune"])
def test_another_user_than_the_platforms_is_sent_away(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path))
    stranger = os.geteuid() + 4711
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    result = CliRunner().invoke(app, ["audit", command])
    assert (result.exit_code, "as the user of the platform" in result.output) == (1, True)

"""`medsearch mail` on a folder of mails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.__main__ import app
from stores.mail.folder import FolderMail
from stores.mail.messages import Letterhead
from stores.ports import Mail

LINK = "http://127.0.0.1:8000/account/verify#token=" + "abcDEF-_9" * 4 + "1234567"
OLD, NEW = "01900000-0000-7000-8000-000000000000", "01900000-0001-7000-8000-000000000000"


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "60")
    sender = FolderMail(tmp_path / "mail", Letterhead("a@b.example"))
    await sender.send(Mail(OLD, "ada@example.com", "Confirm your address", f"Open:\n\n{LINK}\n\nBye.\n"))
    await sender.send(Mail(NEW, "ben@example.com", "Your password was changed", "It was.\n"))
    return tmp_path / "mail"


def test_mails_are_listed_newest_first_with_whole_links(folder: Path) -> None:
    result = CliRunner().invoke(app, ["mail"])
    assert result.exit_code == 0
    assert result.output.index(NEW[:13]) < result.output.index(OLD[:13])
    assert f"  {LINK}\n" in result.output
    listed = json.loads(CliRunner().invoke(app, ["mail", "--json", "-n", "1"]).output)
    assert [(mail["id"], mail["to"], mail["link"]) for mail in listed] == [(NEW, "ben@example.com", None)]


def test_one_mail_is_shown_by_the_beginning_of_its_id(folder: Path) -> None:
    result = CliRunner().invoke(app, ["mail", OLD[:13]])
    assert result.exit_code == 0
    assert result.output.startswith("To: ada@example.com\n")
    assert f"\n{LINK}\n" in result.output
    for wrong in ("0190", "ffff"):
        assert CliRunner().invoke(app, ["mail", wrong]).exit_code == 1


def test_no_mails_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["mail"])
    assert (result.exit_code, "no mails" in result.output) == (0, True)


def test_with_a_server_there_is_nothing_to_look_into(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSEARCH_MAIL__HOST", "smtp.hospital.example")
    result = CliRunner().invoke(app, ["mail"])
    assert (result.exit_code, "smtp.hospital.example" in result.output) == (1, True)

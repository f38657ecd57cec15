"""What the client's commands do around the platform: exit codes, and the job they submit."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cluster.cli import client, ingesting
from cluster.cli.__main__ import app
from cluster.cli.api import NotLoggedIn, Refused, Unreachable
from cluster.ingest.listing import PatientFrom
from cluster.platform.layout import Layout
from config.settings import RaySettings, Settings
from domain.documents import DocumentType
from domain.errors import MedsearchError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused(422, {"detail": "Wrong.", "code": "request.invalid"}), 1),
        (MedsearchError("No."), 1),
        (Unreachable("Nothing answers."), 3),
        (NotLoggedIn("Log in."), 4),
    ],
)
def test_errors_become_exit_codes_and_a_sentence(
    error: MedsearchError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        raise error

    with pytest.raises(typer.Exit) as caught:
        client.run(work())
    assert caught.value.exit_code == code
    assert capsys.readouterr().err == f"{error.message}\n"


def test_the_job_gets_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a share; rm -rf ~").mkdir()
    monkeypatch.chdir(tmp_path)
    command = ingesting.arguments(
        Path("a share; rm -rf ~"),
        "dr.ben",
        department="pulmonology",
        document_type=DocumentType.REFERRAL,
        patient_from=PatientFrom.FOLDER,
        patient_system=None,
    )
    assert command == [
        "python", "-m", "cluster.ingest", str(tmp_path / "a share; rm -rf ~"), "--owner", "dr.ben",
        "--department", "pulmonology", "--document-type", "referral", "--patient-from", "folder",
    ]  # fmt: skip
    assert shlex.split(shlex.join(command)) == command


def test_the_token_is_that_of_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(MedsearchError, match="as the user of 'medsearch up'"):
        ingesting.authorization(settings)
    Layout.of(settings).prepare()
    Layout.of(settings).ray_token.write_text("secret")
    assert ingesting.authorization(settings) == {"Authorization": "Bearer secret"}
    assert ingesting.authorization(Settings(data_dir=tmp_path, ray=RaySettings(auth=False))) == {}


def test_one_title_for_many_files_is_refused(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.txt", "b.txt")]
    for file in files:
        file.write_text("Fever.")
    result = CliRunner().invoke(app, ["upload", *map(str, files), "--title", "Both"])
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "command",
    [
        *("login", "logout", "upload", "search", "ingest", "keys", "mail"),
        *("index rebuild", "index status", "index build", "index stop", "index promote", "index drop"),
        *("admin create", "admin list", "admin show", "admin approve", "admin refuse", "admin suspend"),
        *("admin activate", "admin unlock", "admin role", "admin departments", "admin own-record"),
        *("admin treatment start", "admin treatment list", "admin treatment end"),
        *("share list", "share grant", "share revoke", "share sensitivity"),
        *("break-glass start", "break-glass stop"),
        *("sessions list", "sessions end", "mfa enrol", "mfa disable"),
        *("api-keys create", "api-keys list", "api-keys revoke"),
        *("audit list", "audit readers", "audit own", "audit export", "audit heads"),
        *("audit verify", "audit prune"),
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.output


def test_without_a_login_the_exit_code_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["search", "fever", "--url", "http://127.0.0.1:9"])
    assert (result.exit_code, "medsearch login" in result.output) == (4, True)


@pytest.mark.parametrize(
    "command",
    [
        ["admin", "own-record", "drsmith"],
        ["admin", "own-record", "drsmith", "LAB|1", "--remove"],
        ["admin", "approve", "drsmith", "emperor"],
        ["share", "sensitivity", "x", "secret", "--reason", "why"],
        ["break-glass", "start", "LAB|1", "--reason", "emergency room", "--minutes", "61"],
        ["audit", "list", "--event", "document.burn"],
        ["audit", "list", "--from", "yesterday"],
    ],
)
def test_wrong_usage_is_refused_before_anything_is_sent(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--url", "http://127.0.0.1:9"])
    assert result.exit_code == 2


def test_an_account_is_made_on_the_server_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path))
    wanted = (
        "head@example.org",
        "--username",
        "head",
        "--first-name",
        "A",
        "--last-name",
        "B",
        "--password-stdin",
    )
    done = CliRunner().invoke(app, ["admin", "create", *wanted], input="a password that may be used\n")
    assert (done.exit_code, "Run this as the platform's user, on its server." in done.output) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        "index rebuild",
        "index status",
        "index build",
        "index stop",
        "index promote",
        "index drop x",
        "audit verify",
        "audit prune --yes",
    ],
)
def test_what_works_on_the_stores_says_where_it_has_to_be_run(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path))
    done = CliRunner().invoke(app, command.split())
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert list(tmp_path.iterdir()) == []
    assert re.search(
        r"^secret '\S+' is missing: .*Run this as the platform's user, on its server\.$",
        done.output,
        re.MULTILINE,
    )


@pytest.mark.parametrize("wrong", ["abc#", "../users/me?x=", "a\nb", "7"])
def test_entities_wants_an_id(wrong: str) -> None:
    done = CliRunner().invoke(app, ["entities", wrong])
    assert done.exit_code == 2
    assert "Traceback" not in done.output

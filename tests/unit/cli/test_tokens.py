"""The login file of the command line."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from cluster.cli.tokens import FileTokens, Tokens, login_folder

LOGIN = Tokens("access", "refresh", 1000.0)


def test_a_login_is_kept_by_origin(tmp_path: Path) -> None:
    here, there = (
        FileTokens(tmp_path / "medsearch", "http://here"),
        FileTokens(tmp_path / "medsearch", "http://there"),
    )
    here.write(LOGIN)
    assert here.read() == LOGIN
    assert there.read() is None
    there.write(Tokens("other", "other", 1.0))
    here.write(None)
    assert here.read() is None
    assert there.read() == Tokens("other", "other", 1.0)


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    FileTokens(tmp_path / "medsearch", "http://here").write(LOGIN)
    (file,) = (tmp_path / "medsearch").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_damaged_file_means_not_logged_in(tmp_path: Path) -> None:
    tokens = FileTokens(tmp_path, "http://here")
    tokens.write(LOGIN)
    next(tmp_path.glob("*.json")).write_text("{")
    assert tokens.read() is None


def test_one_renews_at_a_time(tmp_path: Path) -> None:
    tokens = FileTokens(tmp_path, "http://here")
    entered = threading.Event()

    def second() -> None:
        with tokens.exclusive():
            entered.set()

    with tokens.exclusive():
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.2)
    other.join(5)
    assert entered.is_set()


def test_the_folder_follows_xdg() -> None:
    assert login_folder({"XDG_CONFIG_HOME": "/somewhere"}) == Path("/somewhere/medsearch")
    assert login_folder({}) == Path.home() / ".config" / "medsearch"

"""Which files a bulk load takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.ingest.listing import PatientFrom, list_folder, patient_of
from domain.errors import Invalid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    (folder / "1002" / "letters").mkdir(parents=True)
    (folder / "1001").mkdir()
    (folder / ".git").mkdir()
    for name in ("b.pdf", "a.txt", "1001/c.txt", "1002/letters/d.pdf", ".hidden", ".git/config"):
        (folder / name).write_text(name)
    return folder


def names(folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in list_folder(folder).files]


def test_every_visible_file_in_a_stable_order(folder: Path) -> None:
    assert names(folder) == ["a.txt", "b.pdf", "1001/c.txt", "1002/letters/d.pdf"]


def test_hidden_files_and_folders_are_counted(folder: Path) -> None:
    assert list_folder(folder).skipped == {"hidden": 2}


def test_links_are_followed_inside_only(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text("not ours")
    (folder / "escape.txt").symlink_to(outside)
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    (folder / "elsewhere").symlink_to(tmp_path)
    listing = list_folder(folder)
    assert "inside.txt" in names(folder)
    assert not any("escape" in name or "elsewhere" in name for name in names(folder))
    assert listing.skipped["outside"] == 1


def test_what_cannot_be_looked_at_is_named(folder: Path) -> None:
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    gone, loop = list_folder(folder).unreadable
    assert gone == (folder / "gone.txt", "No such file or directory")
    assert loop == (folder / "loop.txt", "Too many levels of symbolic links")


def test_special_files_are_left_out(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert list_folder(folder).skipped["special"] == 1
    assert "pipe" not in names(folder)


def test_a_folder_reached_by_a_link_is_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert len(list_folder(tmp_path / "link").files) == 4


@pytest.mark.parametrize("wrong", [Path("relative"), Path("/nowhere/at/all"), Path("/etc/hostname")])
def test_only_an_absolute_folder_will_do(wrong: Path) -> None:
    with pytest.raises(Invalid, match="absolute path of a folder"):
        list_folder(wrong)


def test_the_first_folder_is_the_record_number(folder: Path) -> None:
    def found(name: str, source: PatientFrom) -> str | None:
        return patient_of(folder / name, folder, source, "DEMO")

    assert found("1002/letters/d.pdf", PatientFrom.FOLDER) == "DEMO|1002"
    assert found("a.txt", PatientFrom.FOLDER) is None
    assert found("1001/c.txt", PatientFrom.NONE) is None

"""Commands in the text of the pages exist, with their options; docs/command-line.md has every one.

Those in `console` blocks are run: `tests/e2e/test_pages.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main

from cluster.cli.__main__ import app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(app)
OUTSIDE = {
    "medsearch ingest ./share": "needs a share full of files: tests/e2e/test_bulk_load.py loads one",
    "medsearch evaluate ner": "needs a labelled corpus: tests/unit/models/test_ner_evaluation.py has some",
    "medsearch evaluate linking": "needs a list of names: tests/unit/models/test_linking_evaluation.py has some",
    "medsearch evaluate retrieval": "needs a collection: tests/contract/search/test_evaluation.py ranks one",
    "medsearch models benchmark": "takes minutes: tests/unit/cli/test_models_command.py measures a little",
    "curl -X POST": "needs a token that nobody types: tests/contract/documents uploads like this",
}
"""Beginnings of commands that stand in no `console` block, and why."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_text_exist_with_their_options(page: Path) -> None:
    for words, more in named(page.read_text()):
        command = reached(words)
        known = {option for part in command.params for option in (*part.opts, *part.secondary_opts)}
        assert options(words) <= {"--help", *known}, words
        assert options(more) <= known, (words, more)


def test_every_command_has_its_row() -> None:
    told = [reached(words) for words, _ in named((ROOT / "docs" / "command-line.md").read_text())]
    assert [path for path, command in leaves(COMMANDS) if command not in told] == []


def test_commands_to_type_stand_in_console_blocks() -> None:
    """Where they are run."""
    typed = re.compile(r"^(?: {4}|\t)\s*((?:medsearch|curl) .+)", re.MULTILINE)
    outside = [command for page in PAGES for command in typed.findall(page.read_text())]
    assert [command for command in outside if not command.startswith(tuple(OUTSIDE))] == []
    assert len(outside) == len(OUTSIDE)


def named(text: str) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """The words of each `medsearch …`, and the options that a row which begins with only one tells of it."""
    for line in re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE).splitlines():
        commands = [code.split()[1:] for code in re.findall(r"`(medsearch [^`]+)`", line)]
        row = line.startswith("| `medsearch") and len(commands) == 1
        more = [word for code in re.findall(r"`(-[^`]+)`", line) for word in code.split()] if row else []
        yield from ((words, more) for words in commands)


def reached(words: Sequence[str]) -> Any:
    """The command that the words lead to; what follows it are its arguments."""
    found: Any = COMMANDS
    for word in words:
        if not isinstance(found, typer.core.TyperGroup) or word not in found.commands:
            break
        found = found.commands[word]
    assert not isinstance(found, typer.core.TyperGroup) or words[-1] == "--help", (
        f"no command: medsearch {' '.join(words)}"
    )
    return found


def options(words: Sequence[str]) -> set[str]:
    return {word.strip("[]") for word in words if re.match(r"\[?--?[a-z]", word)}


def leaves(group: Any, path: str = "medsearch") -> Iterator[tuple[str, Any]]:
    if not isinstance(group, typer.core.TyperGroup):
        yield path, group
        return
    for name, command in group.commands.items():
        yield from leaves(command, f"{path} {name}")

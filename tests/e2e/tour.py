"""The README's tour as a thing that runs: its `console` blocks are commands with the output that they really gave.

    python -m tests.e2e.tour        run the tour against the platform of this checkout and write the output anew

`tests/e2e/test_readme.py` runs the same commands on a platform of its own and compares.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```console(?: (?P<who>\w+))?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\b\d+ ms\b"), "N ms"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:8000"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
)
"""What differs from run to run: identifiers, times, the port."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a page and the output that the page shows for it."""

    command: str
    output: str
    who: str | None = None
    """At whose terminal: the word behind `console`."""


def steps(text: str) -> Iterator[Step]:
    """The commands (`$ …`, continued by a backslash) of all `console` blocks, each with the lines below it."""
    for block in BLOCK.finditer(text):
        for part in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
            yield Step(*_divide(part), block["who"])


def run(step: Step, environment: Mapping[str, str]) -> str:
    """The command's output (both streams), without blanks at line ends."""
    done = subprocess.run(
        ["bash", "-c", step.command],
        env={**environment, "COLUMNS": "110", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def normalised(output: str) -> str:
    """`output` without what differs from run to run."""
    for pattern, replacement in VARYING:
        output = pattern.sub(replacement, output)
    return re.sub(r"[ \t]+", " ", output)


def rewritten(text: str, environment: Mapping[str, str]) -> str:
    """`text` with the output of every command replaced by what it gives now."""

    def again(block: re.Match[str]) -> str:
        shown = "\n".join(_shown(step, environment) for step in steps(block.group(0)))
        return f"```console\n{shown}\n```"

    return BLOCK.sub(again, text)


def _shown(step: Step, environment: Mapping[str, str]) -> str:
    output = run(step, environment)
    return f"$ {step.command}\n{output}" if output else f"$ {step.command}"


def _divide(part: str) -> tuple[str, str]:
    lines = part.rstrip("\n").split("\n")
    length = next((index for index, line in enumerate(lines) if not line.endswith("\\")), len(lines) - 1) + 1
    return "\n".join(lines[:length]), "\n".join(line.rstrip() for line in lines[length:]).strip("\n")


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(), os.environ))

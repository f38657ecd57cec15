"""Which lines and branches of the program the tests run: `pytest -p tests.coverage` prints the table at the end.

SlipCover takes its probes out of code that has run. Tracing, the only other way in this Python, costs the whole
suite more than half of its processor time again.

What differs for the program: a `SystemError` of "built-in function signal" is an error within SlipCover, which scans
functions while others may change modules; functions of ours can be pickled by reference only; subprocesses are not
measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import slipcover

SOURCES = [
    str(Path(__file__).parents[1] / package)
    for package in ("config", "domain", "models", "stores", "actors", "deployments", "cluster")
]
WORKER_OUTPUT = "coverage"

_slipcover = slipcover.Slipcover(branch=True, source=SOURCES)
_reports: list[dict[str, Any] | None] = []
"""Of the processes that shared the tests; None of one that broke off, with all it had seen."""

# pytest imports this before it imports anything of the program.
slipcover.ImportManager(_slipcover, slipcover.FileMatcher(sources=SOURCES)).__enter__()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes hands over what it has seen."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[WORKER_OUTPUT] = json.dumps(_slipcover.get_coverage())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process has ended."""
    report = getattr(node, "workeroutput", {}).get(WORKER_OUTPUT)
    _reports.append(json.loads(report) if report else None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what is not covered, and the sum."""
    total = _slipcover.get_coverage()
    for report in filter(None, _reports):
        slipcover.merge_coverage(total, report)
    terminalreporter.section("lines and branches")
    if broken := _reports.count(None):
        terminalreporter.line(f"Without what {broken} processes had seen that broke off.")
    slipcover.print_coverage(total, outfile=terminalreporter, skip_covered=True, missing_width=60)

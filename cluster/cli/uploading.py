"""Uploading files: streamed, with a progress bar on a terminal, and followed until they can be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from cluster.cli import display
from cluster.cli.api import Api, Refused
from cluster.file_pieces import pieces
from domain.lifecycle import Status

Report = dict[str, Any]
"""The platform's view of one document, with the `file` it came from; or `file` and `error`."""


async def upload_all(
    api: Api, files: Sequence[Path], fields: Mapping[str, str | None], *, wait: bool
) -> list[Report]:
    """Upload one after the other; a file that is refused does not stop the others."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        reports = [await _upload(api, file, fields, progress) for file in files]
        return [
            {**report, **await api.settled(report["id"])} if wait and "id" in report else report
            for report in reports
        ]


def succeeded(reports: Sequence[Report]) -> bool:
    return all(
        "error" not in report and report["status"] not in (Status.REJECTED, Status.QUARANTINED)
        for report in reports
    )


def report_table(reports: Sequence[Report]) -> Table:
    """A line a file: its document, where that stands, and whether it was there before."""
    table = Table("file", "document", "status", box=None, padding=(0, 2, 0, 0))
    for report in reports:
        table.add_row(Text(report["file"]), report.get("id", "-"), _state(report))
    return table


async def _upload(api: Api, file: Path, fields: Mapping[str, str | None], progress: Progress) -> Report:
    try:
        size = file.stat().st_size
        task = progress.add_task(file.name, total=size)
        answer = await api.upload(
            lambda: pieces(file, lambda done: progress.update(task, completed=done)),
            size,
            {"filename": file.name, **fields},
        )
    except Refused as error:
        return {"file": str(file), "error": error.message, "code": error.code}
    except OSError as error:
        return {
            "file": str(file),
            "error": f"It cannot be read: {error.strerror}.",
            "code": "client.unreadable",
        }
    return {"file": str(file), **answer}


def _state(report: Report) -> Text:
    if "error" in report:
        return Text(report["error"], style="red")
    line = display.outcome_line(report)
    return line.append(" (was there before)") if report.get("duplicate") else line

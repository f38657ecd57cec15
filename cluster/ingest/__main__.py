"""`python -m cluster.ingest /ABSOLUTE/FOLDER --owner NAME`, run by `ray job submit` on the platform."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cluster.ingest.job import Order, Result, carry_out
from cluster.ingest.listing import PatientFrom
from config.loading import WrongSettings, load_settings
from config.logs import configure_logging
from config.secrets import SecretMissing, SecretStore
from domain.documents import DocumentType
from domain.errors import MedsearchError


def main(
    folder: Annotated[Path, typer.Argument(help="Absolute path of the folder to load.")],
    owner: Annotated[str, typer.Option(help="User name of the account that will own the documents.")],
    department: Annotated[str | None, typer.Option(help="Department of the documents.")] = None,
    document_type: Annotated[DocumentType | None, typer.Option(help="Kind of the documents.")] = None,
    patient_from: Annotated[
        PatientFrom, typer.Option(help="Where record numbers come from.")
    ] = PatientFrom.NONE,
    patient_system: Annotated[str | None, typer.Option(help="System that issued the numbers.")] = None,
    json_report: Annotated[Path | None, typer.Option(help="Write the closing report here, as JSON.")] = None,
) -> None:
    """Load a folder in the low-priority lane. Run it again to resume it. Exit code 1: something failed."""
    order = Order(folder, owner, department, document_type, patient_from, patient_system)
    try:
        settings = load_settings().settings
        configure_logging(settings.log, component="bulk", stream=sys.stderr)
        result = asyncio.run(carry_out(settings, SecretStore(settings.secrets_path), order, say))
    except (MedsearchError, WrongSettings, SecretMissing) as error:
        say(f"The load has stopped: {error}")
        raise typer.Exit(1) from error
    if json_report is not None:
        _write(json_report, result)
    raise typer.Exit(1 if result.failed else 0)


def say(line: str) -> None:
    """A line for the operator, at once: the job's log is followed live."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def _write(path: Path, result: Result) -> None:
    """The report names files, hence only its owner may read it."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(result.report, indent=2, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

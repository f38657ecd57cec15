"""`medsearch up | down | status | logs | doctor | config`: the platform on this machine.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage or settings, 3 nothing runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.cli import client, configuration, overview
from cluster.cli.progress import Progress
from cluster.platform import doctor as examination
from cluster.platform import launcher, log_files
from cluster.platform.layout import Layout
from cluster.platform.needed_secrets import make_secrets
from cluster.platform.serve_api import CONFIG, ServeApi, ServeFailed, ServeStatus
from config.loading import WrongSettings, load_settings
from config.secrets import SecretMissing, SecretStore
from config.settings import Service, Settings
from domain.errors import MedsearchError
from stores.postgres import database

WRONG_SETTINGS = 2
NOT_RUNNING = 3
COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the platform's commands to the application."""
    for command in (up, down, status, logs, doctor, config, secrets):
        app.command()(command)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when ready; the platform stays.")
    ] = False,
    serve_config: Annotated[
        Path, typer.Option(help="Deploy another file of applications.", exists=True)
    ] = CONFIG,
) -> None:
    """Start the platform, wait until it is ready, keep it alive until Ctrl-C or 'medsearch down'."""
    with readable_errors():
        settings, console = load_settings().settings, Console()

        def ready() -> None:
            progress.stop()
            overview.print_ready(console, settings, detached=detach)

        with Progress(console) as progress:
            if detach:
                launcher.detach(settings, progress, serve_config.absolute())
                ready()
            else:
                secrets = SecretStore(settings.secrets_path)
                asyncio.run(launcher.run(settings, secrets, progress, ready, serve_config))


def down() -> None:
    """Stop the platform of this data folder and everything that it started."""
    with readable_errors():
        settings = load_settings().settings
        stopped = launcher.down(settings)
        typer.echo("Stopped." if stopped else f"Nothing runs on {settings.data_dir}.")


def status(
    document: Annotated[str | None, typer.Argument(help="A document's id: where it stands.")] = None,
    as_json: AsJson = False,
    url: client.Url = None,
) -> None:
    """Say how the platform is doing, or where one document stands."""
    if document is not None:
        client.document_status(document, as_json=as_json, url=url)
        return
    with readable_errors():
        settings = load_settings().settings
        state = launcher.running(settings)
        serve = asyncio.run(_serve_status(settings)) if state else None
        if as_json:
            typer.echo(json.dumps(overview.status_json(state, serve), indent=2))
        elif state:
            Console().print(overview.status_table(state, serve))
        else:
            typer.echo(f"Nothing runs on {settings.data_dir}. Start with: medsearch up")
        if state is None:
            raise typer.Exit(NOT_RUNNING)


def logs(
    name: Annotated[
        str, typer.Argument(help="Part of a log's name; without one, the names are listed.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Lines of each log.", min=1)] = 50,
) -> None:
    """Show logs: platform, postgres, redis, ray, and those of every process of Ray."""
    with readable_errors():
        files = log_files.log_files(Layout.of(load_settings().settings))
    chosen = log_files.matching(files, name)
    if not chosen or not name:
        typer.echo("\n".join(files) if files else "There are no logs yet.")
        raise typer.Exit(1 if name else 0)
    for key, path in chosen.items():
        typer.echo(f"==> {key} ({path})\n{log_files.tail(path, lines)}")
    if follow:
        try:
            for key, text in log_files.follow(chosen):
                typer.echo(text if len(chosen) == 1 else f"==> {key}\n{text}", nl=False)
        except KeyboardInterrupt:
            return


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine: ports, memory, disk, versions, what the sandbox can do; say what to mend."""
    with readable_errors():
        settings = load_settings().settings
        findings = examination.examine(settings, running=launcher.running(settings) is not None)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        console = Console()
        for finding in findings:
            mark = f"[{COLOURS[finding.level]}]{finding.level:8}[/]"
            console.print(f"{mark} {finding.subject}: {finding.message}", highlight=False)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


def config(as_json: AsJson = False) -> None:
    """Print every setting, its value and where it comes from; secrets only by name."""
    with readable_errors():
        loaded = load_settings()
        if as_json:
            typer.echo(json.dumps(configuration.as_json(loaded), indent=2))
        else:
            configuration.show(Console(), loaded)


def secrets(
    folder: Annotated[Path, typer.Argument(help="Where to write them, one file each; what is there stays.")],
) -> None:
    """Make the secrets that a production platform needs. Keep a copy of them elsewhere."""
    with readable_errors():
        made = make_secrets(load_settings().settings, SecretStore(folder))
    typer.echo("\n".join(made) if made else "Nothing was missing.")
    typer.echo(f"\nUse them with MEDSEARCH_SECRETS_DIR={folder.absolute()}")


async def _serve_status(settings: Settings) -> ServeStatus | None:
    token = Layout.of(settings).ray_token
    try:
        return await ServeApi(settings, token.read_text(encoding="ascii")).status()
    except (ServeFailed, FileNotFoundError):
        return None


def insist_on_user(settings: Settings) -> None:
    """Raises `MedsearchError` for another user than the platform's: it could not read what we would write."""
    if settings.data_dir.exists() and (owner := settings.data_dir.stat().st_uid) != os.geteuid():
        raise MedsearchError(f"Run this as the user of the platform, {_name(owner)}.")


def _name(uid: int) -> str:
    """The user's name; the number where there is no such user, as in a container."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@contextmanager
def on_server(service: Service, role: str | None = None) -> Iterator[tuple[Settings, SecretStore]]:
    """Settings and secrets for a command that goes to a service's own database, as its own or another role.

    For another user, or where there is no platform, the message says where it has to be run. That is found out first:
    where keys are made when they are missing, a command in the wrong place would leave some that nobody else has.
    """
    with readable_errors():
        settings = client.settings()
        insist_on_user(settings)
        try:
            secrets = SecretStore(settings.secrets_path)
            secrets.resolve(database(settings, service, role).secret)
            yield settings, secrets
        except SecretMissing as error:
            raise MedsearchError(f"{error}. Run this as the platform's user, on its server.") from error


@contextmanager
def readable_errors() -> Iterator[None]:
    """Expected errors become one message on standard error and an exit code."""
    try:
        yield
    except WrongSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_SETTINGS) from error
    except MedsearchError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from error

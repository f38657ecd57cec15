"""`medsearch mail`: the mails that a platform without an SMTP server wrote into its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cluster.cli.platform import AsJson, readable_errors
from config.loading import load_settings
from domain.errors import MedsearchError

LINK = re.compile(r"^\S+#token=\S+$", re.MULTILINE)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(mail)


def mail(
    number: Annotated[
        str | None, typer.Argument(metavar="ID", help="One mail, by its id or the beginning of it: show it.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Most mails to list.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the mails of the local folder, newest first, with their links; or show one."""
    with readable_errors():
        settings = load_settings().settings
        if settings.mail.host:
            raise MedsearchError(f"Mails go to {settings.mail.host}: there is no folder to look into.")
        found = list(letters(settings.mail_path))
    chosen = [letter for letter in found if number is None or letter.id.startswith(number)]
    if number is not None:
        if len(chosen) != 1:
            typer.echo(f"{len(chosen)} mails in {settings.mail_path} begin with '{number}'.", err=True)
            raise typer.Exit(1)
        typer.echo(json.dumps(asdict(chosen[0]), indent=2) if as_json else chosen[0].printed())
    elif as_json:
        typer.echo(json.dumps([asdict(letter) for letter in chosen[:lines]], indent=2))
    elif chosen:
        _show(Console(), chosen[:lines])
    else:
        typer.echo(f"There are no mails in {settings.mail_path}.")


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail of the folder."""

    id: str
    date: str
    to: str
    subject: str
    link: str | None
    text: str

    def printed(self) -> str:
        return f"To: {self.to}\nDate: {self.date}\nSubject: {self.subject}\n\n{self.text}"


def letters(folder: Path) -> Iterator[Letter]:
    """Newest first: a mail's id begins with its time. Raises `MedsearchError` when the folder is another user's."""
    try:
        for file in sorted(folder.glob("*.eml"), reverse=True):
            yield _letter(file)
    except PermissionError:
        raise MedsearchError(
            f"{folder} belongs to another user: run this as the user of the platform."
        ) from None


def _letter(file: Path) -> Letter:
    message = message_from_bytes(file.read_bytes(), policy=default)
    body = message.get_body(("plain",))
    text = str(body.get_content()) if body else ""
    link = LINK.search(text.replace("\r\n", "\n"))
    return Letter(
        id=file.stem,
        date=str(message["date"]),
        to=str(message["to"]),
        subject=str(message["subject"]),
        link=link.group() if link else None,
        text=text.replace("\r\n", "\n"),
    )


def _show(console: Console, chosen: list[Letter]) -> None:
    """A line a mail, and its link below: unbroken, so that it can be copied."""
    for letter in chosen:
        line = Text.assemble(f"{letter.id}  {letter.date}  {letter.to}  ", (letter.subject, "bold"))
        console.print(line, soft_wrap=True)
        if letter.link:
            console.print(Text(f"  {letter.link}"), soft_wrap=True)

"""`medsearch login | logout | upload | search | entities | ingest`, and the part of `status` that asks for one document.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or settings, 3 nothing answers, 4 not logged in.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console

from cluster.cli import credentials, display, people, queries, uploading
from cluster.cli.api import Api, NotLoggedIn, Refused, Unreachable
from cluster.cli.tokens import FileTokens, login_folder
from cluster.ingest.listing import PatientFrom
from config.loading import WrongSettings, load_settings
from config.settings import Settings
from domain.documents import DocumentType
from domain.errors import MedsearchError
from domain.search import SortKey
from domain.text import MentionType

OTP_REQUIRED = "auth.otp_required"
"""The password was right, and the account has a second factor."""

T = TypeVar("T")
Url = Annotated[
    str | None,
    typer.Option("--url", help="Address of the platform. Default: from the settings.", metavar="URL"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the platform's answer as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the client's commands to the application."""
    for command in (login, logout, upload, search, entities, ingest):
        app.command()(command)


def login(
    email: Annotated[str, typer.Argument(help="The account's e-mail address.")],
    password_stdin: credentials.PasswordStdin = False,
    otp: credentials.Otp = None,
    url: Url = None,
) -> None:
    """Log in; later commands use and renew this login."""
    password = credentials.password(password_stdin)

    async def work() -> None:
        async with connection(url) as api:
            try:
                await api.login(email, password, otp)
            except Refused as refusal:
                if refusal.code != OTP_REQUIRED or password_stdin:
                    raise
                await api.login(email, password, credentials.code(None))
            typer.echo(f"Logged in to {api.origin} as {email}.")

    run(work())


def logout(url: Url = None) -> None:
    """End the login, here and at the platform."""

    async def work() -> None:
        async with connection(url) as api:
            await api.logout()
            typer.echo(f"Logged out of {api.origin}.")

    run(work())


def upload(
    files: Annotated[
        list[Path], typer.Argument(help="Documents to upload.", exists=True, dir_okay=False, readable=True)
    ],
    title: Annotated[str | None, typer.Option(help="Title of the document (one file only).")] = None,
    type_: Annotated[DocumentType | None, typer.Option("--type", help="Kind of document.")] = None,
    date: Annotated[str | None, typer.Option(help="Date of the document, YYYY-MM-DD.")] = None,
    patient: Annotated[str | None, typer.Option(help="Record number, SYSTEM|NUMBER.")] = None,
    department: Annotated[str | None, typer.Option(help="Department that the document belongs to.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the documents can be found.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Upload documents and say where they stand."""
    if title is not None and len(files) > 1:
        raise typer.BadParameter("a title can be given for one file only", param_hint="--title")
    fields = {
        "title": title,
        "document_type": type_.value if type_ else None,
        "document_date": date,
        "patient": patient,
        "department": department,
    }

    async def work() -> bool:
        async with connection(url) as api:
            reports = await uploading.upload_all(api, files, fields, wait=wait)
        print_json(reports) if as_json else Console().print(uploading.report_table(reports))
        return uploading.succeeded(reports)

    if not run(work()):
        raise typer.Exit(1)


def document_status(document_id: str, *, as_json: bool = False, url: str | None = None) -> None:
    """Print one document's state: the part of `medsearch status` that takes an id."""

    async def work() -> None:
        async with connection(url) as api:
            document = await api.call("GET", f"/api/v1/documents/{document_id}")
        print_json(document) if as_json else Console().print(display.document_table(document))

    run(work())


def search(
    query: Annotated[str, typer.Argument(help="Words to search for.")] = "",
    mode: Annotated[queries.Mode, typer.Option(help="Words, meaning, or both.")] = queries.Mode.HYBRID,
    affirmed: Annotated[
        list[str] | None, typer.Option(help="Only documents that affirm this concept.", metavar="CONCEPT")
    ] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option(
            help="As --affirmed, with assertions of choice: ICD10CM:J18.9=negated,uncertain.",
            metavar="CONCEPT[=A,B]",
        ),
    ] = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="type=, department=, section=, patient=, from=, to=; may be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    facet: Annotated[
        list[str] | None, typer.Option(help="Count by concept, document_type, department, year, section.")
    ] = None,
    sort: Annotated[SortKey, typer.Option(help="Order of the documents.")] = SortKey.RELEVANCE,
    limit: Annotated[int, typer.Option(help="Documents a page.", min=1, max=100)] = 10,
    cursor: Annotated[str | None, typer.Option(help="Continue after an earlier page.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each document was found.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Search the documents that you may read."""
    entities = [queries.entity(f"{concept}=affirmed") for concept in affirmed or ()]
    entities += [queries.entity(text) for text in entity or ()]
    question = {
        "query": query,
        "mode": mode.value,
        "filters": queries.filters(filter_ or (), entities),
        "facets": facet or [],
        "sort": sort.value,
        "limit": limit,
        "cursor": cursor,
        "explain": explain,
    }

    async def work() -> None:
        async with connection(url) as api:
            answer = await api.call("POST", "/api/v1/search", json=question)
        console = Console()
        concepts = [entity["concept"] for entity in entities]
        print_json(answer) if as_json else console.print(display.search_results(answer, console, concepts))

    run(work())


def entities(
    document_id: Annotated[UUID, typer.Argument(help="The document's id.")],
    type_: Annotated[
        list[MentionType] | None, typer.Option("--type", help="Only these types; may be repeated.")
    ] = None,
    page: Annotated[int | None, typer.Option(help="Only those on this page.", min=1)] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show what was recognised in a document: problems, signs, drugs, procedures, tests, anatomy."""

    async def work() -> None:
        async with connection(url) as api:
            found = await api.all_of(
                f"/api/v1/documents/{document_id}/entities",
                {"limit": "100", **({"page": str(page)} if page else {})},
            )
        chosen = [mention for mention in found if not type_ or mention["type"] in type_]
        print_json(chosen) if as_json else people.console().print(display.entity_table(chosen))

    run(work())


def ingest(
    folder: Annotated[Path, typer.Argument(help="Folder to load.", exists=True, file_okay=False)],
    owner: Annotated[str, typer.Option(help="User name of the account that will own the documents.")],
    department: Annotated[str | None, typer.Option(help="Department of the documents.")] = None,
    document_type: Annotated[DocumentType | None, typer.Option(help="Kind of the documents.")] = None,
    patient_from: Annotated[
        PatientFrom, typer.Option(help="Where a file's record number is taken from.")
    ] = PatientFrom.NONE,
    patient_system: Annotated[str | None, typer.Option(help="Issuing system of the record numbers.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the job goes on.")] = False,
) -> None:
    """Load a whole folder as a job of the platform, and follow its log. Ctrl-C leaves the job running."""
    from cluster.cli import ingesting

    arguments = ingesting.arguments(
        folder,
        owner,
        department=department,
        document_type=document_type,
        patient_from=patient_from,
        patient_system=patient_system,
    )
    if not run(ingesting.submit(settings(), arguments, detach=detach)):
        raise typer.Exit(1)


def connection(url: str | None) -> Api:
    """The platform at `url`, or at the address of the settings, with this user's login."""
    origin = (url or settings().origin).rstrip("/")
    return Api(origin, FileTokens(login_folder(), origin))


def settings() -> Settings:
    try:
        return load_settings().settings
    except WrongSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command; an expected error becomes one message on standard error and an exit code."""
    try:
        return asyncio.run(work)
    except MedsearchError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit({Unreachable: 3, NotLoggedIn: 4}.get(type(error), 1)) from error
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(130) from interrupt


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))

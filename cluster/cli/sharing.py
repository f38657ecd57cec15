"""`medsearch share ...`: who else may read a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from cluster.cli import client, people
from domain.access import Sensitivity

share = typer.Typer(help="Who else may read a document.", no_args_is_help=True)

Document = Annotated[str, typer.Argument(help="The document's id.")]
Principal = Annotated[str, typer.Argument(help="user:ID or department:NAME.")]


def register(app: typer.Typer) -> None:
    """Add `share` to the application."""
    app.add_typer(share, name="share")


@share.command("list")
def list_access(document: Document, as_json: client.AsJson = False, url: client.Url = None) -> None:
    """Show who may read a document."""
    _call("GET", f"{document}/access", as_json, url)


@share.command()
def grant(
    document: Document, principal: Principal, as_json: client.AsJson = False, url: client.Url = None
) -> None:
    """Let somebody, or a department, read a document."""
    _call("POST", f"{document}/access", as_json, url, json={"principal": principal})


@share.command()
def revoke(
    document: Document, principal: Principal, as_json: client.AsJson = False, url: client.Url = None
) -> None:
    """Take somebody off the list."""
    _call("DELETE", f"{document}/access", as_json, url, params={"principal": principal})


@share.command()
def sensitivity(
    document: Document,
    sensitivity: Annotated[Sensitivity, typer.Argument(help="How far the list reaches.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the audit trail.")],
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Restrict a document to persons, open it to researchers, or neither."""
    body = {"sensitivity": sensitivity.value, "reason": reason}
    _call("PUT", f"{document}/sensitivity", as_json, url, json=body)


def _call(
    method: str,
    path: str,
    as_json: bool,
    url: str | None,
    *,
    json: Any = None,
    params: Mapping[str, str] | None = None,
) -> None:
    """Each call may be sent again: it has no second effect."""

    async def work() -> None:
        async with client.connection(url) as api:
            answer = await api.call(method, f"/api/v1/documents/{path}", json=json, params=params)
        client.print_json(answer) if as_json else people.console().print(access_table(answer))

    client.run(work())


def access_table(answer: Mapping[str, Any]) -> Group:
    """The list, with what is fixed and what opens nothing in the present sensitivity."""
    heading = f"{answer['document_id']}  {answer['sensitivity']}  revision {answer['revision']}"
    return Group(Text(heading), people.listing(answer["items"], ("principal", "fixed", "effective")))

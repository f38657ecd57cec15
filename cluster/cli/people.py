"""Accounts at the platform as administrators name them, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.cli.api import Api
from domain.errors import NotFound

Json = Mapping[str, Any]
WIDE = 400
"""Columns where nothing is a terminal."""
ACCOUNTS = "/api/v1/admin/accounts"
COLUMNS = ("id", "username", "email", "role", "requested_role", "status", "departments")
TREATMENTS = ("id", "account_id", "patient", "starts_at", "ends_at", "set_by")


async def account_id(api: Api, named: str) -> str:
    """The id of an account named by id, user name or e-mail address; raises `NotFound`."""
    if _is_id(named):
        return named
    page = await api.call("GET", ACCOUNTS, params={"q": named, "limit": "100"})
    wanted = named.casefold()
    found = [one for one in page["items"] if wanted in (one["username"].casefold(), one["email"].casefold())]
    if len(found) != 1:
        raise NotFound(f"There is no account '{named}', or you do not administer it.")
    return str(found[0]["id"])


def console() -> Console:
    """As wide as the terminal; elsewhere as wide as the rows, so that nothing is cut."""
    found = Console()
    return found if found.is_terminal else Console(width=WIDE)


def listing(rows: Iterable[Json], columns: Iterable[str]) -> Table:
    """One line a row; an empty list has its heading alone."""
    names = tuple(columns)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(row[name])) for name in names))
    return table


def details(values: Json) -> Table:
    """All fields of one thing that have a value."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in values.items():
        if value not in (None, "", []):
            table.add_row(name.replace("_", " "), Text(_shown(value)))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True

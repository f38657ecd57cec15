"""`medsearch admin ...`: accounts. `create` works on the server's own databases, all others over HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, cast, get_args

import typer

from cluster.cli import client, credentials, people
from cluster.cli.platform import on_server
from config.account_settings import Role
from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Conflict
from domain.ids import new_id

PERSON_ROLES = tuple(role for role in get_args(Role) if role != "service")
TREATMENTS = "/api/v1/admin/treatments"

admin = typer.Typer(
    help="Accounts: roles, suspending, departments, treatment relations.", no_args_is_help=True
)
treatment = typer.Typer(help="Who treats whom, until when.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(help="User name, e-mail address or id.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stands in the audit trail.")]


def _person_role(text: str) -> str:
    if text not in PERSON_ROLES:
        raise typer.BadParameter(f"there are: {', '.join(PERSON_ROLES)}")
    return text


RoleArgument = Annotated[str, typer.Argument(help="The role.", callback=_person_role)]


def register(app: typer.Typer) -> None:
    """Add `admin` to the application."""
    app.add_typer(admin, name="admin")


admin.add_typer(treatment, name="treatment")


@admin.command()
def create(
    email: Annotated[str, typer.Argument(help="E-mail address, to log in with.")],
    username: Annotated[str, typer.Option(help="User name.")],
    first_name: Annotated[str, typer.Option(help="First name.")],
    last_name: Annotated[str, typer.Option(help="Last name.")],
    role: Annotated[str, typer.Option(help="Role of the account.", callback=_person_role)] = "admin",
    department: Annotated[list[str] | None, typer.Option(help="Department; may be repeated.")] = None,
    password_stdin: credentials.PasswordStdin = False,
) -> None:
    """Make an account on this server's own databases: the first administrator. The platform must run."""
    from deployments.auth.provisioning import Provisioning

    password = credentials.new_password(password_stdin)

    async def work(settings: Settings, secrets: SecretStore) -> None:
        provisioning = Provisioning.of(settings, secrets)
        try:
            if await provisioning.find_account(username):
                raise Conflict(f"There is already an account '{username}'.", code="account.taken")
            made = await provisioning.create_account(
                email=email,
                username=username,
                password=password,
                first_name=first_name,
                last_name=last_name,
                role=role,
                departments=department or (),
                by="operator",
            )
        except ValueError as error:
            raise Conflict(str(error), code="account.taken") from error
        finally:
            await provisioning.close()
        typer.echo(f"Made {role} '{username}' ({made}).")

    with on_server("auth") as (settings, secrets):
        asyncio.run(work(settings, secrets))


@admin.command("list")
def list_accounts(
    status: Annotated[str | None, typer.Option(help="active, suspended or closed.")] = None,
    role: Annotated[str | None, typer.Option(help="Only this role.")] = None,
    requested: Annotated[str | None, typer.Option(help="Who asks for this role; any: for whichever.")] = None,
    department: Annotated[str | None, typer.Option(help="Members of this department.")] = None,
    q: Annotated[str | None, typer.Option(help="Part of a name or an address.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    cursor: Annotated[str | None, typer.Option(help="Continue after an earlier page.")] = None,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """List accounts, the newest first."""
    asked = {"status": status, "role": role, "requested": requested, "department": department, "q": q}
    _page(people.ACCOUNTS, asked, people.COLUMNS, limit, cursor, as_json, url)


@admin.command()
def show(account: Account, as_json: client.AsJson = False, url: client.Url = None) -> None:
    """Show one account."""
    _act("GET", account, "", None, as_json, url)


@admin.command()
def approve(
    account: Account, role: RoleArgument, as_json: client.AsJson = False, url: client.Url = None
) -> None:
    """Give the role that the account asks for; another one is refused."""
    _act("POST", account, "approve", {"role": role}, as_json, url)


@admin.command()
def refuse(account: Account, reason: Reason, as_json: client.AsJson = False, url: client.Url = None) -> None:
    """Refuse the role that the account asks for."""
    _act("POST", account, "refuse", {"reason": reason}, as_json, url)


@admin.command()
def suspend(account: Account, reason: Reason, as_json: client.AsJson = False, url: client.Url = None) -> None:
    """End all sessions and let nobody log in."""
    _act("POST", account, "suspend", {"reason": reason}, as_json, url)


@admin.command()
def activate(
    account: Account, reason: Reason, as_json: client.AsJson = False, url: client.Url = None
) -> None:
    """Let the person log in again."""
    _act("POST", account, "activate", {"reason": reason}, as_json, url)


@admin.command()
def unlock(account: Account, reason: Reason, as_json: client.AsJson = False, url: client.Url = None) -> None:
    """Forget the wrong credentials that were tried."""
    _act("POST", account, "unlock", {"reason": reason}, as_json, url)


@admin.command()
def role(
    account: Account,
    role: RoleArgument,
    reason: Reason,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Give any role."""
    _act("PUT", account, "role", {"role": role, "reason": reason}, as_json, url)


@admin.command()
def departments(
    account: Account,
    departments: Annotated[
        list[str] | None, typer.Argument(help="These and no others; none: leave all.")
    ] = None,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Set the departments of an account."""
    _act("PUT", account, "departments", {"departments": departments or []}, as_json, url)


@admin.command("own-record")
def own_record(
    account: Account,
    patient: Annotated[str | None, typer.Argument(help="Record number, SYSTEM|NUMBER.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="The person is no patient known here.")] = False,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Say which patient a person is, after having made sure of it."""
    if remove is (patient is not None):
        raise typer.BadParameter("give a record number, or --remove")
    body = None if remove else {"patient": patient}
    _act("DELETE" if remove else "PUT", account, "own-record", body, as_json, url)


@treatment.command("list")
def list_treatments(
    account: Annotated[str | None, typer.Option(help="Only this account's.")] = None,
    patient: Annotated[str | None, typer.Option(help="Only this patient's.")] = None,
    current: Annotated[
        bool | None, typer.Option("--current/--ended", help="Only those that count, or that ended.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    cursor: Annotated[str | None, typer.Option(help="Continue after an earlier page.")] = None,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """List treatment relations, the newest first."""
    asked = {
        "account_id": account,
        "patient": patient,
        "current": None if current is None else str(current).lower(),
    }
    _page(TREATMENTS, asked, people.TREATMENTS, limit, cursor, as_json, url)


@treatment.command("start")
def start_treatment(
    account: Account,
    patient: Annotated[str, typer.Argument(help="Record number, SYSTEM|NUMBER.")],
    until: Annotated[datetime, typer.Option(help="The end, in UTC; within a year.")],
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """Let somebody see a patient's documents because of treating them."""

    async def work() -> None:
        async with client.connection(url) as api:
            body = {
                "account_id": await people.account_id(api, account),
                "patient": patient,
                "ends_at": until.replace(tzinfo=UTC).isoformat(),
            }
            key = {"Idempotency-Key": str(new_id())}
            _print(await api.call("POST", TREATMENTS, json=body, headers=key), as_json)

    client.run(work())


@treatment.command("end")
def end_treatment(
    treatment_id: Annotated[str, typer.Argument(help="The relation's id.")],
    reason: Reason,
    as_json: client.AsJson = False,
    url: client.Url = None,
) -> None:
    """End a treatment relation now."""

    async def work() -> None:
        async with client.connection(url) as api:
            path = f"{TREATMENTS}/{treatment_id}/end"
            _print(await api.call("POST", path, json={"reason": reason}, repeatable=False), as_json)

    client.run(work())


def _act(method: str, account: str, path: str, body: Any, as_json: bool, url: str | None) -> None:
    """One call on one account; a POST is sent once: the answer of a second one would be another."""

    async def work() -> None:
        async with client.connection(url) as api:
            found = await people.account_id(api, account)
            answer = await api.call(
                method,
                f"{people.ACCOUNTS}/{found}" + (f"/{path}" if path else ""),
                json=body,
                repeatable=method != "POST",
            )
        _print(answer, as_json)

    client.run(work())


def _page(
    path: str,
    asked: dict[str, str | None],
    columns: tuple[str, ...],
    limit: int,
    cursor: str | None,
    as_json: bool,
    url: str | None,
) -> None:
    async def work() -> None:
        async with client.connection(url) as api:
            if asked.get("account_id"):
                asked["account_id"] = await people.account_id(api, cast("str", asked["account_id"]))
            given = asked | {"limit": str(limit), "cursor": cursor}
            params = {name: value for name, value in given.items() if value is not None}
            page = await api.call("GET", path, params=params)
        if as_json:
            client.print_json(page)
        else:
            people.console().print(people.listing(page["items"], columns))
            if page["next_cursor"]:
                typer.echo("There are more: a larger --limit, or --cursor with the next_cursor of --json.")

    client.run(work())


def _print(answer: Any, as_json: bool) -> None:
    client.print_json(answer) if as_json else people.console().print(people.details(answer))

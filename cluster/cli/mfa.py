"""`medsearch mfa enrol | disable`: the second factor of one's account."""

from __future__ import annotations

import typer

from cluster.cli.client import Url, connection, run
from cluster.cli.credentials import Otp, PasswordStdin, code, password

PATH = "/api/v1/users/me/mfa"


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    mfa = typer.Typer(help="The second factor of your account.", no_args_is_help=True)
    mfa.command()(enrol)
    mfa.command()(disable)
    app.add_typer(mfa, name="mfa")


def enrol(password_stdin: PasswordStdin = False, url: Url = None) -> None:
    """Set one up: shows the secret for an authenticator application, asks for its first code."""
    known = password(password_stdin)

    async def work() -> None:
        async with connection(url) as api:
            body = {"current_password": known}
            proposal = await api.call("POST", f"{PATH}/totp", json=body, repeatable=False)
            typer.echo(f"Secret:  {proposal['secret']}\nAddress: {proposal['otpauth_uri']}")
            answer = await api.call(
                "POST", f"{PATH}/totp/confirm", json={"otp": code(None)}, repeatable=False
            )
        typer.echo("Logins need a code from now on. Keep these recovery codes; each works once:")
        for line in answer["recovery_codes"]:
            typer.echo(f"  {line}")

    run(work())


def disable(otp: Otp = None, password_stdin: PasswordStdin = False, url: Url = None) -> None:
    """Do without one; needs the password and a code."""
    body = {"current_password": password(password_stdin), "otp": code(otp)}

    async def work() -> None:
        async with connection(url) as api:
            await api.call("POST", f"{PATH}/disable", json=body, repeatable=False)
        typer.echo("Logins need no code any more.")

    run(work())

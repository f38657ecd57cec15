"""What the command line asks its user for, on the terminal or from standard input."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Otp = Annotated[
    str | None,
    typer.Option("--otp", help="A code of the second factor, or a recovery code.", metavar="CODE"),
]


def password(from_stdin: bool) -> str:
    """Asked for without echo, or the first line of standard input."""
    return _line() if from_stdin else str(typer.prompt("Password", hide_input=True))


def new_password(from_stdin: bool) -> str:
    """Asked for twice, or the first line of standard input."""
    if from_stdin:
        return _line()
    return str(typer.prompt("New password", hide_input=True, confirmation_prompt=True))


def code(given: str | None) -> str:
    return given or str(typer.prompt("Code of the second factor"))


def _line() -> str:
    return sys.stdin.readline().rstrip("\n")

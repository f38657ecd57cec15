"""Passwords on the command line: asked for, or one line of standard input; never an argument."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def current(*, from_stdin: bool) -> str:
    """The caller's password."""
    return _line() if from_stdin else str(typer.prompt("Password", hide_input=True))


def new(*, from_stdin: bool) -> str:
    """A new password, asked for twice."""
    if from_stdin:
        return _line()
    return str(typer.prompt("New password", hide_input=True, confirmation_prompt=True))


def _line() -> str:
    return sys.stdin.readline().rstrip("\n")

"""The command `medsearch`."""

from __future__ import annotations

import typer

from cluster.cli import (
    administration,
    api_keys,
    audit,
    client,
    emergency,
    evaluate,
    index,
    keys,
    mail,
    mfa,
    models,
    platform,
    sessions,
    sharing,
)

COMMANDS = (
    administration,
    api_keys,
    audit,
    client,
    emergency,
    evaluate,
    index,
    keys,
    mail,
    mfa,
    models,
    platform,
    sessions,
    sharing,
)
"""Modules that add their commands: one line each, sorted, here and above."""

app = typer.Typer(
    name="medsearch",
    help="Search over medical documents: by words and by meaning, negation told apart, access kept.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in COMMANDS:
    module.register(app)


def main() -> None:
    """Entry point of the console command."""
    app()


if __name__ == "__main__":
    main()

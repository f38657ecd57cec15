"""The command `medsearch`."""

from __future__ import annotations

import typer

from cluster.cli import client, index, platform

app = typer.Typer(
    name="medsearch",
    help="Search over medical documents: by words and by meaning, negation told apart, access kept.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
platform.register(app)
client.register(app)
app.add_typer(index.app, name="index")


def main() -> None:
    """Entry point of the console command."""
    app()


if __name__ == "__main__":
    main()

"""`medsearch config`: every setting with its value and where it comes from; secrets by name only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from cluster.platform.needed_secrets import given_secrets, needed_secrets
from config.loading import Loaded, flatten
from config.secrets import SecretStore

MASK = "********"


@dataclass(frozen=True, slots=True)
class Line:
    """One setting or secret."""

    key: str
    value: str
    source: str


def setting_lines(loaded: Loaded) -> Iterator[Line]:
    for key, value in flatten(loaded.settings.model_dump(mode="json")):
        yield Line(key, "" if value is None else str(value), loaded.sources.get(key, "default"))


def secret_lines(loaded: Loaded) -> Iterator[Line]:
    """Every secret that exists or is needed, its value masked."""
    store = SecretStore(loaded.settings.secrets_path)
    given = given_secrets(loaded.settings)
    for name in sorted({*store.names(), *needed_secrets(loaded.settings), *given}):
        origin = store.origin(name)
        absent = "missing: write it" if name in given else "missing: made at the first start"
        yield Line(name, MASK if origin else "", origin or absent)


def as_json(loaded: Loaded) -> dict[str, list[dict[str, str]]]:
    return {
        "settings": [asdict(line) for line in setting_lines(loaded)],
        "secrets": [asdict(line) for line in secret_lines(loaded)],
    }


def show(console: Console, loaded: Loaded) -> None:
    for title, lines in (("setting", setting_lines(loaded)), ("secret", secret_lines(loaded))):
        table = Table(title, "value", "from", box=None, padding=(0, 2, 0, 0))
        for line in lines:
            table.add_row(line.key, line.value, line.source)
        console.print(table)

"""The settings reference, made from the settings themselves: `docs/settings.md` is this text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from config.account_settings import OidcProvider
from config.section import Section
from config.settings import PoolSettings, Settings


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting: dotted key, environment variable, default as text, description."""

    key: str
    default: str
    description: str

    @property
    def variable(self) -> str:
        return "MEDSEARCH_" + self.key.upper().replace(".", "__")


def entries(section: type[Section] = Settings, prefix: str = "") -> Iterator[Entry]:
    """Every setting below `section`, in order of declaration."""
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from entries(annotation, f"{prefix}{name}.")
        else:
            yield Entry(
                f"{prefix}{name}",
                _text(field.get_default(call_default_factory=True)),
                field.description or "",
            )


def markdown() -> str:
    """The page `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Read once at the start, from `medsearch.toml` and, over it, from the environment; unknown keys are refused.",
        "`medsearch config` prints the effective values and where each comes from. Secrets are not settings: they are",
        "looked up by name, in `MEDSEARCH_SECRET_NAME` or in a file of that name in `secrets_dir`.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
        *(_row(entry.variable, entry) for entry in entries()),
        "",
        "A pool (`processing.pools`, a table by pool name) has:",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
        *(_row(entry.key, entry) for entry in entries(PoolSettings)),
        "",
        "A provider of logins (`auth.oidc`, a table by the provider's name) has:",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
        *(_row(entry.key, entry) for entry in entries(OidcProvider)),
        "",
    ]
    return "\n".join(lines)


def _row(name: str, entry: Entry) -> str:
    return f"| `{name}` | {f'`{entry.default}`' if entry.default else '-'} | {entry.description} |"


def _text(value: Any) -> str:
    if value in (None, PydanticUndefined, (), {}):
        return ""
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, dict):
        return ", ".join(key if isinstance(one, BaseModel) else f"{key}={one}" for key, one in value.items())
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return str(value.value if isinstance(value, Enum) else value)


if __name__ == "__main__":
    print(markdown(), end="")

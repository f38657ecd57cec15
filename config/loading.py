"""From environment and file to one `Settings` value: defaults < `medsearch.toml` < `MEDSEARCH_A__B`.

Unknown keys are refused with the nearest known one; every complaint names the variable or file, never the
value, because a value may have been meant to be secret.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from config.settings import Settings

PREFIX = "MEDSEARCH_"
FILE_VARIABLE = "MEDSEARCH_CONFIG"
FILE_NAME = "medsearch.toml"
FOREIGN_PREFIXES = ("MEDSEARCH_TEST_", "MEDSEARCH_SECRET_")
"""Variables with our prefix that are no settings: those of the tests, and secrets (`config.secrets`)."""

Tree = dict[str, Any]


class WrongSettings(ValueError):
    """The settings cannot be used; `problems` has one sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and for each dotted key that is not a default where it comes from."""

    settings: Settings
    sources: Mapping[str, str]


def load_settings(environment: Mapping[str, str] | None = None, file: Path | None = None) -> Loaded:
    """Read, merge and check all sources; raises `WrongSettings` with everything that is wrong.

    `environment` is by default that of the process; `file` the one that `MEDSEARCH_CONFIG` names (empty:
    none), else `medsearch.toml` in the current folder when it is there.
    """
    variables = os.environ if environment is None else environment
    problems: list[str] = []
    merged: Tree = {}
    sources: dict[str, str] = {}
    for origin, tree in [
        *_file_layer(file or _named_file(variables), problems),
        *_environment_layers(variables, problems),
    ]:
        _merge(merged, tree)
        sources.update({key: origin for key, _ in flatten(tree)})
    if problems:
        raise WrongSettings(problems)
    try:
        return Loaded(Settings.model_validate(merged), sources)
    except ValidationError as error:
        raise WrongSettings(
            [_complaint(detail, sources) for detail in error.errors(include_input=False)]
        ) from None


def settings_environment(settings: Settings) -> dict[str, str]:
    """The variables that make `load_settings` in another process, in any folder, return `settings` again."""
    dumped = settings.model_dump(mode="json", exclude_none=True)
    values = {name: value if isinstance(value, str) else json.dumps(value) for name, value in dumped.items()}
    return {FILE_VARIABLE: "", **{PREFIX + name.upper(): value for name, value in values.items()}}


def is_setting(variable: str) -> bool:
    """Whether an environment variable is read (or refused) as a setting."""
    return (
        variable.startswith(PREFIX)
        and variable != FILE_VARIABLE
        and not variable.startswith(FOREIGN_PREFIXES)
    )


def variable_of(key: str) -> str:
    """`http.port` -> `MEDSEARCH_HTTP__PORT`."""
    return PREFIX + key.replace(".", "__").upper()


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of the leaves; an empty mapping is a leaf."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def known_keys(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every dotted key there is; the names inside a free mapping are written `*`."""
    for name, field in section.model_fields.items():
        inner = _section(field.annotation)
        key = prefix + name
        if inner is not None:
            yield from known_keys(inner, f"{key}.")
        elif get_origin(field.annotation) is dict:
            yield key
            inner = _section(get_args(field.annotation)[1])
            yield from known_keys(inner, f"{key}.*.") if inner else [f"{key}.*"]
        else:
            yield key


class _Fields(Settings, BaseSettings):  # type: ignore[misc] # BaseSettings takes a wider configuration
    """The fields of `Settings` in the form that pydantic-settings reads."""


class _Variable(EnvSettingsSource):
    """pydantic-settings' reading of one `A__B=value`."""

    def __init__(self, name: str, value: str) -> None:
        self._variable = {name.lower(): value}
        super().__init__(_Fields, env_prefix=PREFIX, env_nested_delimiter="__")

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variable


def _named_file(variables: Mapping[str, str]) -> Path | None:
    named = variables.get(FILE_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    present = Path(FILE_NAME)
    return present if present.is_file() else None


def _file_layer(file: Path | None, problems: list[str]) -> list[tuple[str, Tree]]:
    if file is None:
        return []
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"{file} cannot be read: {error}.")
        return []
    problems += [f"{file}: {_unknown(key)}" for key, _ in flatten(tree) if not _is_known(key)]
    return [(str(file), tree)]


def _environment_layers(variables: Mapping[str, str], problems: list[str]) -> list[tuple[str, Tree]]:
    layers = []
    for name in sorted(filter(is_setting, variables)):
        key = name.removeprefix(PREFIX).lower().replace("__", ".")
        if not _is_known(key):
            problems.append(f"{name}: {_unknown(key, variable_of)}")
            continue
        try:
            layers.append((name, _Variable(name, variables[name])()))
        except SettingsError:
            problems.append(f'{name}: must be JSON, such as ["a", "b"] or {{"a": 1}}.')
    return layers


def _unknown(key: str, spell: Any = str) -> str:
    nearest = difflib.get_close_matches(key, list(known_keys()), n=1)
    hint = f"Did you mean {spell(nearest[0])}?" if nearest else "'medsearch config' lists all."
    return f"there is no setting {spell(key)}. {hint}"


def _is_known(key: str) -> bool:
    """Whether `key` is a leaf, a section, or lies in a free mapping."""
    wanted = key.split(".")
    return any(
        len(wanted) <= len(parts)
        and all(part in ("*", given) for part, given in zip(parts, wanted, strict=False))
        for parts in (known.split(".") for known in known_keys())
    )


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _merge(target: Tree, tree: Mapping[str, Any]) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = dict(value) if isinstance(value, Mapping) else value


def _complaint(detail: ErrorDetails, sources: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    origins = {
        origin
        for name, origin in sources.items()
        if name == key or name.startswith(f"{key}.") or key.startswith(f"{name}.")
    }
    where = ", ".join(sorted(origins)) or variable_of(key)
    described = _description(key)
    return f"{where}: {key}: {detail['msg'].removeprefix('Value error, ')}." + (
        f" ({described})" if described else ""
    )


def _description(key: str) -> str | None:
    section: type[BaseModel] | None = Settings
    described = None
    for part in key.split("."):
        field = section.model_fields.get(part) if section else None
        if field is None:
            break
        described, section = field.description, _section(field.annotation)
    return described

"""docs/errors.md names every error code that the source has, with the status that it is answered with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from deployments.edge.problems import CODES, STATUS
from domain.errors import MedsearchError

ROOT = Path(__file__).parents[3]
PACKAGES = ("config", "domain", "models", "stores", "actors", "deployments", "cluster")
PAGE = (ROOT / "docs" / "errors.md").read_text()
FORWARDED = {"problem.get('code')": "cluster/cli/api.py"}
"""Expressions that hand on a code which the platform answered, by the file that may do so."""
LATER = {"mail.timeout", "mail.unexpected"}
"""Codes that the mailer notes without raising an error."""


def test_every_code_of_the_source_has_its_row() -> None:
    assert sorted(set(raised()) | set(answered()) | LATER) == sorted(
        [*rows("Over HTTP"), *rows("On the server"), *rows("Inside")]
    )


def test_the_mailer_notes_what_it_is_said_to_note() -> None:
    assert set(re.findall(r'"(mail\.\w+)"', (ROOT / "actors" / "mailer.py").read_text())) == LATER


def test_a_code_is_answered_with_the_status_that_is_said() -> None:
    said = {
        code: {int(status) for status in re.findall(r"\d+", row.split(" | ")[0])}
        for code, row in rows("Over HTTP").items()
    }
    assert said == {code: raised().get(code, set()) | answered().get(code, set()) for code in said}


def test_every_code_of_a_field_has_its_row() -> None:
    assert sorted(rows("Fields")) == sorted(field_codes())


def rows(title: str) -> Mapping[str, str]:
    """Code -> the rest of its row, of the table below a heading."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| `(\S+)` \| (.+) \|$", section, re.MULTILINE)
    assert len(found) == len(dict(found))
    assert [code for code, _ in found] == sorted(code for code, _ in found)
    return dict(found)


@cache
def modules() -> Mapping[Path, ast.Module]:
    return {
        path.relative_to(ROOT): ast.parse(path.read_text())
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }


def classes() -> Iterator[tuple[ast.ClassDef, str]]:
    """Every class of the source with the name of its first base."""
    for module in modules().values():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef) and node.bases:
                yield node, ast.unparse(node.bases[0]).rpartition(".")[2]


@cache
def error_classes() -> Mapping[str, int]:
    """Each error class, by name, with the status of its nearest ancestor in the table."""
    known = {MedsearchError.__name__: 500} | {kind.__name__: status for kind, status in STATUS.items()}
    while found := {
        node.name: known[base] for node, base in classes() if base in known and node.name not in known
    }:
        known |= found
    return known


@cache
def raised() -> Mapping[str, set[int]]:
    """Each code of an error class or of its construction, with the statuses that it is answered with."""
    found: dict[str, set[int]] = {}
    for node, _ in classes():
        if node.name not in error_classes():
            continue
        for part in node.body:
            if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "code":
                found.setdefault(ast.literal_eval(part.value), set()).add(error_classes()[node.name])
    for path, module in modules().items():
        for name, call in constructions(module):
            for code in codes_in(call, module, path):
                found.setdefault(code, set()).add(error_classes()[name])
    return found


def constructions(module: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Calls that make an error, with its class: `Conflict(…)`, and `super().__init__(…)` within one."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name in error_classes():
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                    yield node.name, call
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in error_classes():
                yield name, node


def codes_in(call: ast.Call, module: ast.Module, path: Path) -> Iterator[str]:
    """The strings that the call's `code=` can be; constants of the module are looked up."""
    for given in (keyword.value for keyword in call.keywords if keyword.arg == "code"):
        if FORWARDED.get(ast.unparse(given)) == path.as_posix():
            continue
        for choice in (given.body, given.orelse) if isinstance(given, ast.IfExp) else (given,):
            value = _constant(choice.id, module) if isinstance(choice, ast.Name) else choice
            assert isinstance(value, ast.Constant), f"{path}:{call.lineno}: no code that can be read"
            if value.value is not None:
                yield value.value


def _constant(name: str, module: ast.Module) -> ast.expr | None:
    values = (
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    return next(values, None)


@cache
def answered() -> Mapping[str, set[int]]:
    """Codes of answers to which no error class belongs: what the framework refuses, and the unexpected."""
    found = {code: {status} for status, code in CODES.items()}
    for module in modules().values():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "problem" and len(node.args) > 1:
                status, code = node.args[:2]
                if isinstance(code, ast.Constant):
                    found.setdefault(code.value, set()).add(ast.literal_eval(status))
    return found


def field_codes() -> set[str]:
    """Second arguments of `FieldError`, and what `domain.passwords` finds wrong."""
    passwords = modules()[Path("domain/passwords.py")]
    found = {
        node.value.elts[0].value
        for node in ast.walk(passwords)
        if isinstance(node, ast.Return)
        and isinstance(node.value, ast.Tuple)
        and isinstance(node.value.elts[0], ast.Constant)
    }
    for module in modules().values():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "FieldError":
                code = node.args[1]
                if isinstance(code, ast.Constant):
                    found.add(code.value)
    return found

"""Whatever an endpoint takes is bounded: read off the merged OpenAPI document, so that new endpoints count too."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deployments.auth.identifiers import email_address
from deployments.auth.schemas import LoginRequest, RegisterRequest
from deployments.edge.schemas import Line, Wording
from tests.openapi import Operation, asked, document, operations

DOCUMENT = document()
BOUNDED_FORMATS = {"uuid", "date", "date-time", "binary"}
LINE: TypeAdapter[str] = TypeAdapter(Line)
WORDING: TypeAdapter[str] = TypeAdapter(Wording)


@pytest.mark.parametrize("operation", operations(DOCUMENT), ids=lambda operation: operation.name)
def test_a2_everything_that_a_request_carries_is_bounded(operation: Operation) -> None:
    found = [fault for name, schema in asked(operation) for fault in faults(schema, name)]
    assert found == []


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "string"}, "x: string without an end"),
        ({"anyOf": [{"type": "null"}, {"type": "string", "format": "email"}]}, "x: string without an end"),
        ({"type": "array", "items": {"const": 1}}, "x: list without an end"),
        ({"type": "array", "maxItems": 3, "items": {"type": "string"}}, "x[]: string without an end"),
        ({"type": "integer", "minimum": 0}, "x: number without an end"),
        ({"type": "object", "properties": {}}, "x: takes any field"),
        ({"type": "object", "additionalProperties": {"type": "null"}}, "x: takes any field"),
        ({}, "x: takes anything"),
    ],
)
def test_the_walk_notices_what_has_no_end(schema: dict[str, Any], fault: str) -> None:
    assert list(faults(schema, "x")) == [fault]


def faults(schema: Mapping[str, Any], name: str, seen: tuple[str, ...] = ()) -> Iterator[str]:
    """What of `schema` has no end, each with its place."""
    if reference := schema.get("$ref"):
        if reference not in seen:
            target = DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
            yield from faults(target, name, (*seen, reference))
    elif choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        for choice in choices:
            yield from faults(choice, name, seen)
    elif not {"enum", "const"} & set(schema):
        if fault := own_fault(schema):
            yield f"{name}: {fault}"
        for field, inner in schema.get("properties", {}).items():
            yield from faults(inner, f"{name}.{field}", seen)
        if schema.get("type") == "array":
            yield from faults(schema.get("items", {}), f"{name}[]", seen)


def own_fault(schema: Mapping[str, Any]) -> str | None:
    has = set(schema)
    match schema.get("type"):
        case "object":
            return None if schema.get("additionalProperties") is False else "takes any field"
        case "array":
            return None if "maxItems" in has else "list without an end"
        case "string":
            bounded = "maxLength" in has or schema.get("format") in BOUNDED_FORMATS
            return None if bounded else "string without an end"
        case "integer" | "number":
            bounded = {"maximum", "exclusiveMaximum"} & has and {"minimum", "exclusiveMinimum"} & has
            return None if bounded else "number without an end"
        case "boolean" | "null":
            return None
    return "takes anything"


@given(st.text(max_size=60))
def test_a_line_is_clean_or_refused(text: str) -> None:
    bad = any(
        unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(sign) in DIRECTING
        for sign in text
    )
    for adapter, form in ((LINE, "NFKC"), (WORDING, "NFC")):
        if bad:
            with pytest.raises(ValidationError):
                adapter.validate_python(text)
        else:
            assert adapter.validate_python(text) == unicodedata.normalize(form, text).strip()


DIRECTING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize(
    "sign", ["\0", "\n", "\t", "\x1b", "\x7f", "\x85", "\x9f", "\u2028", "\u202e", "\u2066", "\u2069"]
)
def test_a_sign_that_misleads_is_refused_wherever_it_stands(sign: str) -> None:
    for text in (sign, f"a{sign}b", f"a{sign}", f"{sign}a"):
        with pytest.raises(ValidationError):
            LINE.validate_python(text)
        with pytest.raises(ValidationError):
            LoginRequest.model_validate({"email": text, "password": "x"})


def test_names_are_taken_in_their_compatible_form_and_addresses_as_they_are_written() -> None:
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in "Smith")
    body = {
        "email": "\ufb01nn@example.com",
        "username": "drsmith",
        "password": "SecurePass123!",
        "first_name": " Jose\u0301 ",
        "last_name": wide,
        "role": "doctor",
    }
    wish = RegisterRequest.model_validate(body)
    assert (wish.first_name, wish.last_name, wish.email) == ("Jos\u00e9", "Smith", "\ufb01nn@example.com")


@pytest.mark.parametrize("domain", ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example"])
def test_b13_a_mail_domain_is_stored_as_mail_servers_know_it(domain: str) -> None:
    found = email_address(f"Ada@{domain}")
    assert (found.stored, found.key) == ("Ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example")


def test_b13_other_domains_keep_keys_of_their_own() -> None:
    keys = {email_address(f"a@{domain}").key for domain in ("strasse.example", "straße.example")}
    assert len(keys) == 2

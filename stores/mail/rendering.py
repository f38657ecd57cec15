"""The words of a mail: one template a kind, from which the text and the HTML form are made.

A template's first line is the subject; paragraphs are parted by blank lines, and one that is nothing but the link
becomes a link. All that is filled in is escaped in HTML.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from domain.mail import MailKind

TEMPLATES = Path(__file__).parent / "templates"
COLUMNS = 76


@dataclass(frozen=True, slots=True)
class Words:
    """A rendered mail."""

    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


class Templates:
    """`origin`: the address that users see, for the signature."""

    def __init__(self, origin: str) -> None:
        loader = FileSystemLoader(TEMPLATES)
        self._origin = origin
        self._plain = Environment(loader=loader, undefined=StrictUndefined, autoescape=False)  # noqa: S701 - plain text
        self._html = Environment(loader=loader, undefined=StrictUndefined, autoescape=True)

    def render(self, kind: MailKind, parameters: Mapping[str, str], link: str | None = None) -> Words:
        """Raises `jinja2.UndefinedError` when the kind needs a parameter that is not given."""
        given = {**parameters, "origin": self._origin, "link": link}
        subject, _, body = self._plain.get_template(f"{kind.value}.txt").render(given).partition("\n")
        said = [" ".join(part.split()) for part in body.split("\n\n") if part.strip()]
        paragraphs = [*said, f"This mail was written by medsearch at {self._origin}. Replies are not read."]
        html = self._html.get_template("layout.html").render(
            subject=subject.strip(), paragraphs=paragraphs, link=link
        )
        return Words(subject.strip(), "\n\n".join(_wrapped(part, link) for part in paragraphs) + "\n", html)


def _wrapped(paragraph: str, link: str | None) -> str:
    if paragraph == link:
        return paragraph
    return textwrap.fill(paragraph, COLUMNS, break_long_words=False, break_on_hyphens=False)

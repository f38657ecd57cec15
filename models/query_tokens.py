"""The lexical side of the query language: words, phrases and operators, where any text is a list of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from domain.text import Term
from models.analysis import analyse

_OPENING = '"“„«'
_CLOSING = '"”“»'
_PATTERN = re.compile(
    rf"""(?:(?<![^\s(])(?P<sign>[+-])(?=[{_OPENING}]|[^\W\d_]))?
    (?:[{_OPENING}](?P<phrase>[^{_OPENING}{_CLOSING}]*)[{_CLOSING}]
    |(?P<word>[^\s{_OPENING}{_CLOSING}()|]+)
    |(?P<bar>\|+))""",
    re.VERBOSE,
)
_OPERATORS = frozenset({"AND", "OR", "NOT"})


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a phrase with its terms and sign (+ or -), or an operator (AND, OR, NOT)."""

    text: str
    terms: tuple[Term, ...]
    sign: str = ""
    phrase: bool = False
    operator: str = ""


def tokens(text: str) -> list[Token]:
    """What `text` is made of, in order: every token is an operator with operands, or has terms."""
    return _with_operators([token for token in _read(text) if token.operator or token.terms])


def _read(text: str) -> Iterator[Token]:
    for match in _PATTERN.finditer(text):
        sign = match["sign"] or ""
        if match["bar"]:
            yield Token(match["bar"], (), operator="OR")
        elif match["phrase"] is not None:
            yield Token(match["phrase"], tuple(analyse(match["phrase"])), sign, phrase=True)
        else:
            word = match["word"]
            operator = word if not sign and word in _OPERATORS else ""
            yield Token(word, tuple(analyse(word)), sign, operator=operator)


def _with_operators(tokens: list[Token]) -> list[Token]:
    """The same tokens, where an operator without operands is the word it looks like."""
    kept: list[Token] = []
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if token.operator and not _has_operands(token, tokens[index - 1] if index else None, kept[-1:]):
            token = replace(token, operator="")
        kept.append(token)
    return [token for token in reversed(kept) if token.operator or token.terms]


def _has_operands(token: Token, before: Token | None, behind: list[Token]) -> bool:
    """NOT needs a word behind it; AND and OR one on both sides (AND also takes `AND NOT word`)."""
    follows = bool(behind) and (
        _operand(behind[0]) or (token.operator == "AND" and behind[0].operator == "NOT")
    )
    if token.operator == "NOT":
        return follows
    return follows and before is not None and _operand(before)


def _operand(token: Token) -> bool:
    return not token.operator and (token.phrase or token.text not in _OPERATORS)

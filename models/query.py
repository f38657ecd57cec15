"""The query language: what people type, as clauses for the words leg and as text for the meaning leg.

There are no syntax errors: what does not read as an operator is a word.

    pneumonia fever        words; function words ("of", "has") only count when there is nothing else
    "pleural effusion"     the words in a row, required
    +fever   a AND b       required
    -fever   NOT fever     excluded (a minus before a digit is a number's sign)
    stroke OR infarction   either; also `stroke | infarction`

Up to two words are all required; of three or more, three quarters (rounded down), so that a question typed in
full still finds its documents while every further word can only narrow the result. Operators are capitals and
need something on both sides (NOT: behind it). Parts joined by a hyphen (`COVID-19`) are asked as a phrase.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from domain.errors import FieldError, Invalid
from domain.search import Clause, LexicalQuery, Occur
from domain.text import Term
from models.analysis import analyse, stems

Stems = tuple[str, ...]

LONGEST_NAME = 8
"""Words of the longest run that is looked up as a concept's name."""

MOST_NAMES = 8
"""So many other names of a concept are asked for beside a word."""

FEW_WORDS = 2
"""So many words are all required."""

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about after all also am an and any are as at be been before both but by can could did do
        does during each ever for from had has have having he her hers him his how i if in
        into is it its me my no nor not of on or our out over she should so some such than
        that the their them then there these they this those to under until up was we were
        what when where which while who whom whose why will with within without would you
        your show find list give documents document""",
    )
)

CUES = frozenset(
    re.findall(
        r"\w+",
        """no not without denies denied deny negative absence absent excluded exclude excludes ruled
        never family familial mother father brother sister history historical previous
        past prior possible possibly probable suspected suspicion risk""",
    )
)
"""Words by which a query itself speaks of negation, family, history or doubt."""

_OPENING = '"“„«'
_CLOSING = '"”“»'
_TOKEN = re.compile(
    rf"""(?:(?<![^\s(])(?P<sign>[+-])(?=[{_OPENING}]|[^\W\d_]))?
    (?:[{_OPENING}](?P<phrase>[^{_OPENING}{_CLOSING}]*)[{_CLOSING}]
    |(?P<word>[^\s{_OPENING}{_CLOSING}()|]+)
    |(?P<bar>\|+))""",
    re.VERBOSE,
)
_OPERATORS = frozenset({"AND", "OR", "NOT"})
_JOINT = re.compile(r"[-\u2010\u2011'\u2019]?")


class ConceptNames(Protocol):
    """What query expansion must know of the terminologies (`models.expansion`)."""

    def named(self, text: str) -> Sequence[str]:
        """Codes of the concept that has exactly this name, the leading one first; none for other words."""
        ...

    def names(self, text: str) -> Sequence[str]:
        """The other names of the concept that has this name, the most usual first."""
        ...


class NoNames:
    """A terminology without entries: words stand for themselves."""

    def named(self, text: str) -> Sequence[str]:
        return ()

    def names(self, text: str) -> Sequence[str]:
        return ()


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A query understood. `words[i]` is how clause i was typed."""

    clauses: tuple[Clause, ...] = ()
    words: tuple[str, ...] = ()
    minimum: int = 1
    explicit: tuple[Clause, ...] = ()
    """The clauses the user insisted on (phrase, +, AND, -, NOT): they bind the meaning leg as well."""
    concepts: tuple[tuple[str, ...], ...] = ()
    """The concepts that the text names, each with all its codes."""
    cued: bool = False
    """The query itself speaks of negation, family, history or doubt."""
    meaning: str = ""
    """What is embedded: the text without operators and excluded words; empty when nothing is left."""

    @property
    def wanted(self) -> tuple[Clause, ...]:
        """The clauses that a document should have."""
        return tuple(clause for clause in self.clauses if clause.occur is not Occur.MUST_NOT)

    @property
    def wanted_words(self) -> tuple[str, ...]:
        """How the wanted clauses were typed."""
        pairs = zip(self.words, self.clauses, strict=True)
        return tuple(word for word, clause in pairs if clause.occur is not Occur.MUST_NOT)

    def relaxed(self) -> LexicalQuery:
        """The same words, none of them required: for choosing passages within documents that were found."""
        return LexicalQuery(tuple(replace(clause, occur=Occur.SHOULD) for clause in self.wanted))


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    terms: tuple[Term, ...]
    sign: str = ""
    phrase: bool = False
    operator: str = ""


@dataclass(frozen=True, slots=True)
class _Atom:
    """One or more alternatives, each a stem sequence; `explicit` is MUST, MUST_NOT or None."""

    text: str
    sequences: tuple[Stems, ...]
    explicit: Occur | None
    codes: tuple[str, ...] = ()
    expanded: tuple[Stems, ...] = ()


def parse(text: str, *, max_clauses: int, names: ConceptNames | None = None) -> ParsedQuery:
    """Understand `text`. Raises `Invalid` (`search.too_many_clauses`), and for nothing else."""
    tokens = _with_operators([token for token in _tokens(text) if token.operator or token.terms])
    atoms = _expanded(_atoms(tokens), names or NoNames())
    if sum(len(atom.sequences) for atom in atoms) > max_clauses:
        raise _too_many(max_clauses)
    return _query(tokens, _counting(atoms))


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        sign = match["sign"] or ""
        if match["bar"]:
            yield _Token(match["bar"], (), operator="OR")
        elif match["phrase"] is not None:
            yield _Token(match["phrase"], tuple(analyse(match["phrase"])), sign, phrase=True)
        else:
            word = match["word"]
            operator = word if not sign and word in _OPERATORS else ""
            yield _Token(word, tuple(analyse(word)), sign, operator=operator)


def _with_operators(tokens: list[_Token]) -> list[_Token]:
    """The same tokens, where an operator without operands is the word it looks like."""
    kept: list[_Token] = []
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if token.operator and not _has_operands(token, tokens[index - 1] if index else None, kept[-1:]):
            token = replace(token, operator="")
        kept.append(token)
    return [token for token in reversed(kept) if token.operator or token.terms]


def _has_operands(token: _Token, before: _Token | None, behind: list[_Token]) -> bool:
    """NOT needs a word behind it; AND and OR one on both sides (AND also takes `AND NOT word`)."""
    follows = bool(behind) and (
        _operand(behind[0]) or (token.operator == "AND" and behind[0].operator == "NOT")
    )
    if token.operator == "NOT":
        return follows
    return follows and before is not None and _operand(before)


def _operand(token: _Token) -> bool:
    return not token.operator and (token.phrase or token.text not in _OPERATORS)


def _atoms(tokens: Sequence[_Token]) -> list[_Atom]:
    atoms: list[_Atom] = []
    pending = ""
    for token in tokens:
        if token.operator:
            pending = token.operator
            if pending == "AND":
                atoms[-1] = _required(atoms[-1])
            continue
        made = _atoms_of(token)
        if pending == "OR" and atoms[-1].explicit is not Occur.MUST_NOT and token.sign != "-":
            atoms[-1] = _either(atoms[-1], made[0])
            made = made[1:]
        elif pending == "NOT":
            made = [replace(atom, explicit=Occur.MUST_NOT) for atom in made]
        elif pending == "AND":
            made = [_required(atom) for atom in made]
        atoms += made
        pending = ""
    return atoms


def _atoms_of(token: _Token) -> list[_Atom]:
    """A phrase is one atom; a word one for each run of terms that nothing but a hyphen keeps apart."""
    explicit = {"+": Occur.MUST, "-": Occur.MUST_NOT}.get(token.sign, Occur.MUST if token.phrase else None)
    runs = [list(token.terms)] if token.phrase else _runs(token)
    return [
        _Atom(
            token.text[run[0].start : run[-1].end],
            (tuple(term.stem for term in run),),
            explicit,
        )
        for run in runs
    ]


def _runs(token: _Token) -> list[list[Term]]:
    runs: list[list[Term]] = []
    for term in token.terms:
        if runs and _JOINT.fullmatch(token.text, runs[-1][-1].end, term.start):
            runs[-1].append(term)
        else:
            runs.append([term])
    return runs


def _required(atom: _Atom) -> _Atom:
    return atom if atom.explicit else replace(atom, explicit=Occur.MUST)


def _either(one: _Atom, other: _Atom) -> _Atom:
    explicit = one.explicit if one.explicit is other.explicit else None
    return _Atom(f"{one.text} {other.text}", one.sequences + other.sequences, explicit)


def _expanded(atoms: list[_Atom], names: ConceptNames) -> list[_Atom]:
    """Atoms with the codes they name, alone or as part of a run, and with those concepts' other names.

    What was quoted is asked as it was typed; what was excluded or combined by OR names no concept.
    """
    result: list[_Atom] = []
    while len(result) < len(atoms):
        start = len(result)
        length, codes = _longest_name(atoms[start : start + LONGEST_NAME], names)
        run = atoms[start : start + length]
        others = [tuple(stems(name)) for name in names.names(_text(run))] if codes else []
        result += [_with_names(atom, codes, others) for atom in run]
    return result


def _longest_name(atoms: Sequence[_Atom], names: ConceptNames) -> tuple[int, tuple[str, ...]]:
    """How many of the atoms, from the first on, make the longest concept name; its codes."""
    other = (atom.explicit is Occur.MUST_NOT or len(atom.sequences) > 1 for atom in atoms)
    end = next((place for place, stop in enumerate(other) if stop), len(atoms))
    for length in range(end, 0, -1):
        codes = tuple(names.named(_text(atoms[:length])))
        if codes:
            return length, codes
    return 1, ()


def _text(run: Sequence[_Atom]) -> str:
    return " ".join(atom.text for atom in run)


def _with_names(atom: _Atom, codes: tuple[str, ...], others: Sequence[Stems]) -> _Atom:
    if atom.explicit:
        return replace(atom, codes=codes)
    kept = [atom.sequences[0]]
    for name in others:
        if name and not any(contains(name, known) for known in kept):
            kept.append(name)
    return replace(atom, codes=codes, expanded=tuple(kept[1 : MOST_NAMES + 1]))


def contains(sequence: Sequence[str], part: Sequence[str]) -> bool:
    """True when `part` occurs in `sequence` without a gap."""
    width = len(part)
    return any(tuple(sequence[i : i + width]) == tuple(part) for i in range(len(sequence) - width + 1))


def _counting(atoms: Sequence[_Atom]) -> list[_Atom]:
    """Atoms without function words (unless there is nothing else) and without repetitions."""
    strong = [atom for atom in atoms if atom.explicit or atom.codes or atom.text.lower() not in STOP_WORDS]
    kept = strong if any(atom.explicit is not Occur.MUST_NOT for atom in strong) else list(atoms)
    return list({(atom.sequences, atom.explicit): atom for atom in kept}.values())


def _query(tokens: Sequence[_Token], atoms: Sequence[_Atom]) -> ParsedQuery:
    plain = sum(atom.explicit is None for atom in atoms)
    implied = Occur.MUST if plain <= FEW_WORDS else Occur.SHOULD
    clauses = [
        Clause(atom.sequences[0], atom.explicit or implied, atom.sequences[1:] + atom.expanded)
        for atom in atoms
    ]
    return ParsedQuery(
        clauses=tuple(clauses),
        words=tuple(atom.text for atom in atoms),
        minimum=max(1, plain * 3 // 4) if implied is Occur.SHOULD else 1,
        explicit=tuple(clause for clause, atom in zip(clauses, atoms, strict=True) if atom.explicit),
        concepts=tuple(dict.fromkeys(atom.codes for atom in atoms if atom.codes)),
        cued=any(
            not token.operator and token.sign != "-" and term.word in CUES
            for token in tokens
            for term in token.terms
        ),
        meaning=_meaning(tokens),
    )


def _meaning(tokens: Sequence[_Token]) -> str:
    words: list[str] = []
    excluded = False
    for token in tokens:
        if not token.operator and not excluded and token.sign != "-":
            words.append(token.text)
        excluded = token.operator == "NOT"
    return " ".join(words)


def _too_many(limit: int) -> Invalid:
    return Invalid(
        f"The query has too many words: at most {limit} are allowed. Leave some out.",
        code="search.too_many_clauses",
        errors=(FieldError("query", "too_many_clauses", f"at most {limit} words and phrases"),),
    )

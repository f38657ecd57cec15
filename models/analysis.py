"""The one analysis of text into terms, used for indexing, queries, recognition and highlighting alike.

A term is a folded word (`NFKD`, no diacritics, case-folded, Greek letters by name) with its stem and its span
in the original text, in code points. What is one term is decided for search:

* Parts joined by a hyphen are terms of their own, so `COVID-19`, `covid 19` and `Covid19` are the same two
  terms in a row; a phrase of them matches every spelling. A chunk of a query that yields several terms should
  therefore be asked as a phrase.
* A code of one or two letters and a number is one term however it is written: `B12` and `B-12`, `T4`, `IL-6`.
* A number keeps its fraction, ratio or date (`7.5`, `2/6`, `120/80`) and loses thousands separators; a unit
  behind it is a term of its own (`10mg` is `10 mg`).
* Mixed codes stay whole (`HbA1c`, `H1N1`, `J18.9`), dotted abbreviations close up (`p.o.` is `po`), and a
  possessive is dropped (`Crohn's` is `crohn`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from threading import Lock

import Stemmer

from domain.text import Term
from models.spelling import normalise_spelling

VERSION = "1"
"""Raised with any change of terms or stems: an index is only readable with the analysis that wrote it."""

_INVISIBLE = "\u00ad\u200b-\u200d\u2060"
_MARKS = "".join(c for c in map(chr, range(0x300, 0x3100)) if unicodedata.category(c)[0] == "M")
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ASCII_CHUNK = re.compile(r"[A-Za-z0-9]+(?:['./,-][A-Za-z0-9]+)*")
_CHUNK = re.compile(rf"[\w{_MARKS}{_INVISIBLE}]+(?:['’./,⁄\-\u2010\u2011][\w{_MARKS}{_INVISIBLE}]+)*")

_SMALL_DIGIT = "¹²³⁰⁴-⁹₀-₉¼-¾⅐-⅞"
_LETTER = rf"[^\W\d_{_SMALL_DIGIT}]"
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)*)"
_UNIT = (
    r"(?:[mkc]?g|mcg|[uµμ]g|ng|pg|[mdcuµμ]?l|[mnuµμ]?mol|[mck]?m|[uµμ]m|mmhg|iu|u|units?|kcal|m?eq|ppm|"
    r"hz|bpm|h|hrs?|min|mins|sec|s|yrs?|yo|wks?|kpa|mv|msv|gy|mci|mbq)"
)
_PIECE = re.compile(
    rf"""(?P<ideograph>[{_IDEOGRAPH}])
    | (?P<acronym>(?<!\w)(?:[A-Za-z]\.)+[A-Za-z](?!\w))
    | (?P<code>(?<!\w)[A-Za-z]\d[0-9A-Za-z]\.[0-9A-Za-z]{{1,4}}(?!\w))
    | (?P<short>(?<!\w)[A-Za-z]{{1,2}}[-\u2010\u2011]\d+(?!\w|\.\d))
    | (?P<number>{_NUMBER}(?:[/⁄]{_NUMBER})*(?!{_LETTER}|[\d{_MARKS}]))
    | (?P<amount>{_NUMBER}(?={_UNIT}(?!\w)))
    | (?P<word>[^\W_{_IDEOGRAPH}][^\W_{_IDEOGRAPH}{_MARKS}{_INVISIBLE}]*
        (?:[{_MARKS}{_INVISIBLE}'’]+[^\W_{_IDEOGRAPH}{_MARKS}{_INVISIBLE}]+)*[{_MARKS}{_INVISIBLE}]*)""",
    re.VERBOSE | re.IGNORECASE,
)
_MICRO = re.compile(r"[µμ](?=(?:g|l|m|mol|s|v|iu|kat|sv|gy|u)$)", re.IGNORECASE)
_LONE_GREEK = re.compile(r"(?<![\u0370-\u03ff])([\u03b1-\u03c9])(?![\u0370-\u03ff])")
_NAME_AND_NUMBER = re.compile(rf"([a-z]{{3,}})[\d{_SMALL_DIGIT}]+")
_NUMERIC = re.compile(r"\d[\d.,/]*")
_CODE = re.compile(r"[a-z]\d[0-9a-z]\.[0-9a-z]{1,4}")
_OTHER = re.compile(r"[\W_]+")
_FUSED = {"xray": 1, "xrays": 1}
_LONGEST_CACHED = 48
Piece = tuple[str, str, int, int]


def analyse(text: str) -> list[Term]:
    """The terms of `text` in order; `fold(text[start:end]) == word` and spans do not overlap."""
    return [Term(word, stem, start, end) for word, stem, start, end in pieces(text)]


def pieces(text: str) -> list[Piece]:
    """`analyse` as plain tuples (word, stem, start, end), at a third of its time."""
    return [
        (word, stem, start + begin, start + end)
        for start, chunk in _chunks(text)
        for word, stem, begin, end in chunk
    ]


def stems(text: str) -> list[str]:
    """The stems of `analyse(text)`, for where no offsets are needed."""
    return [stem for _, chunk in _chunks(text) for _, stem, _, _ in chunk]


def fold(surface: str) -> str:
    """The comparable form of one term's surface."""
    if not surface.isascii():
        surface = _fold_unicode(surface)
    folded = surface.lower().removesuffix("'s")
    if folded.isalnum() or _CODE.fullmatch(folded):
        return folded
    if _NUMERIC.fullmatch(folded):
        return folded.replace(",", "")
    return _OTHER.sub("", folded)


@lru_cache(maxsize=100_000)
def stem_of(word: str) -> str:
    """Stem of a folded word (Snowball English after spelling normalisation); codes and numbers stay.

    Depends on the word alone, never on its case: a query is mostly typed in lower case.
    """
    if len(word) < 3 or not word.isascii() or not word.isalpha():
        return word
    spelled = normalise_spelling(word)
    if spelled is None:
        return word
    with _STEMMER_LOCK:
        return str(_stemmer().stemWord(spelled))


_STEMMER_LOCK = Lock()


@cache
def _stemmer() -> Stemmer.Stemmer:
    return Stemmer.Stemmer("english")


def _chunks(text: str) -> Iterator[tuple[int, tuple[Piece, ...]]]:
    pattern = _ASCII_CHUNK if text.isascii() else _CHUNK
    for match in pattern.finditer(text):
        chunk = match.group()
        split = _split if len(chunk) <= _LONGEST_CACHED else _split.__wrapped__
        yield match.start(), split(chunk)


@lru_cache(maxsize=100_000)
def _split(chunk: str) -> tuple[Piece, ...]:
    """The terms of a chunk without white space, with offsets in it."""
    if chunk.isascii() and chunk.isalpha() and chunk.lower() not in _FUSED:
        word = chunk.lower()
        return ((word, stem_of(word), 0, len(chunk)),)
    spans = (span for match in _PIECE.finditer(chunk) for span in _parts(match))
    words = ((fold(chunk[start:end]), start, end) for start, end in spans)
    return tuple((word, stem_of(word), start, end) for word, start, end in words if word)


def _parts(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    start, end = match.span()
    if match.lastgroup != "word":
        yield start, end
        return
    for cut in (*_cuts(match.group()), end - start):
        yield start, match.start() + cut
        start = match.start() + cut


def _cuts(surface: str) -> list[int]:
    """Where a run of letters and digits falls apart: before the number of a name, around a Greek letter."""
    if surface.isascii():
        lowered = surface.lower()
        if lowered in _FUSED:
            return [_FUSED[lowered]]
        named = _NAME_AND_NUMBER.fullmatch(lowered)
        return [named.end(1)] if named else []
    if _MICRO.match(surface):
        return []
    lowered = surface.lower()
    if len(lowered) != len(surface):
        return []
    edges = {edge for match in _LONE_GREEK.finditer(lowered) for edge in match.span()}
    named = _NAME_AND_NUMBER.fullmatch(lowered)
    return sorted((edges | ({named.end(1)} if named else set())) - {0, len(surface)})


def _fold_unicode(surface: str) -> str:
    surface = _MICRO.sub("u", surface)
    decomposed = unicodedata.normalize("NFKD", surface.replace("’", "'")).replace("\u2044", "/")
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
    return _LONE_GREEK.sub(lambda match: _greek_name(match.group()), plain)


@cache
def _greek_name(letter: str) -> str:
    return unicodedata.name(letter).rpartition(" ")[2].lower().replace("lamda", "lambda")

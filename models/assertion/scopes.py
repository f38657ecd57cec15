"""Cues of negation and speculation in prose with the words they act on, by a linear model over word features.

Two choices are learned: whether words that may be a cue are one (`cue`), and where its scope begins and ends
(`left`, `right`: a softmax over the places in the sentence, so that what lies between the cue and the place can
be a feature). Weights are hashed: a feature is a text, its weight stands at its CRC-32.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from domain.text import Span

Kind = Literal["negation", "speculation"]
KINDS: tuple[Kind, ...] = ("negation", "speculation")
BITS = 18
_MASK = (1 << BITS) - 1
_KNOWN = 50_000
"""Features whose weights are remembered: most texts are made of the same ones."""
MOST_CUES = 20
"""A sentence with more is no prose, and each takes milliseconds to scope."""
PARTS = ("cue", "left", "right")
WEIGHTS = "scopes.safetensors"
_TOKEN = re.compile(r"[^\W_]+(?:[-'’./][^\W_]+)*|[^\w\s]|_")
_BE = frozenset("is are was were be been being isn't aren't wasn't weren't".split())
_HAVE = frozenset("has have had having".split())
_MODAL = frozenset("can could may might must shall should will would cannot do does did".split())
_CLAUSE = frozenset(
    "but whereas while although though however which who that because since if when where unless than and or nor "
    "as with by in from suggesting indicating thus therefore despite after before until whether to for".split()
)
_ADVERB = frozenset("not also always yet only still even completely".split())
_CLOSERS = frozenset(".;:!?")
_OPEN = frozenset(
    "of the a an in by with from to and or that this these their its at for as between on into".split()
)
_FAR = 60


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    """In lower case."""
    start: int
    end: int
    shape: str
    """A suffix and what kind of word it is: what stands for a part of speech."""


@dataclass(frozen=True, slots=True)
class ScopedCue:
    """A cue and the words it acts on, half-open code points; a cue may be in several pieces."""

    kind: Kind
    pieces: tuple[Span, ...]
    scope: Span


def tokens_of(text: str) -> list[Token]:
    return [
        Token(match.group().lower(), *match.span(), _shape(match.group())) for match in _TOKEN.finditer(text)
    ]


@lru_cache(maxsize=50_000)
def _shape(word: str) -> str:
    low = word.lower()
    if not word[0].isalnum():
        return word
    if low in _BE:
        return "be"
    if low in _HAVE:
        return "have"
    if low in _MODAL:
        return "modal"
    if low in _CLAUSE:
        return low
    if any(c.isdigit() for c in word) or (len(word) > 1 and not word[1:].islower()):
        return "code"
    return low[-3:] if len(low) > 4 else low


@dataclass(frozen=True, slots=True)
class Candidate:
    """Tokens first..behind may be a cue of `kind`."""

    kind: Kind
    first: int
    behind: int
    name: str


def cue_features(tokens: Sequence[Token], candidate: Candidate) -> Iterator[str]:
    first, behind, name = candidate.first, candidate.behind, f"{candidate.kind[0]}{candidate.name}"
    before, after = _at(tokens, first - 1), _at(tokens, behind)
    before2, after2 = _at(tokens, first - 2), _at(tokens, behind + 1)
    yield f"c|{name}"
    yield f"c-1|{name}|{before.text}"
    yield f"c+1|{name}|{after.text}"
    yield f"cs-1|{name}|{before.shape}"
    yield f"cs+1|{name}|{after.shape}"
    yield f"cs+2|{name}|{after2.shape}"
    yield f"cs-2|{name}|{before2.shape}"
    yield f"cs+12|{name}|{after.shape}|{after2.shape}"
    yield f"cs-1+1|{name}|{before.shape}|{after.shape}"
    yield f"c+2|{name}|{after2.text}"
    yield f"c-2|{name}|{before2.text}"
    yield f"k-1|{candidate.kind}|{before.text}"
    yield f"k+1|{candidate.kind}|{after.text}"
    for token in tokens[behind + 1 : behind + 6]:
        yield f"cw|{name}|{token.text}"
    for token in tokens[max(0, first - 6) : first - 1]:
        yield f"cb|{name}|{token.text}"


_EDGE = Token("#", 0, 0, "#")


def _at(tokens: Sequence[Token], index: int) -> Token:
    return tokens[index] if 0 <= index < len(tokens) else _EDGE


def _bucket(number: int) -> int:
    return number if number < 4 else 4 + int(math.log2(number / 4) * 2)


def _head(tokens: Sequence[Token], behind: int) -> Token:
    """The first word behind the cue that is no adverb or auxiliary."""
    for token in tokens[behind : behind + 4]:
        if (
            token.shape not in ("be", "have", "ly")
            and not token.text.endswith("ly")
            and token.text not in _ADVERB
        ):
            return token
    return _EDGE


def left_places(candidate: Candidate) -> range:
    """Where the scope may begin: indices of its first token, the cue's own last."""
    return range(max(0, candidate.first - _FAR), candidate.first + 1)


def left_features(tokens: Sequence[Token], candidate: Candidate) -> Iterator[list[str]]:
    """The features of every left place, in order."""
    first, name, kind = candidate.first, candidate.name, candidate.kind[0]
    head, before, after = (
        _head(tokens, candidate.behind),
        _at(tokens, first - 1),
        _at(tokens, candidate.behind),
    )
    after2 = _at(tokens, candidate.behind + 1)
    crossed: list[list[str]] = []
    inside: set[str] = set()
    commas = verbs = depth = 0
    places = left_places(candidate)
    for index in range(first, places.start - 1, -1):
        token, previous, previous2 = tokens[index], _at(tokens, index - 1), _at(tokens, index - 2)
        if index < first:
            if token.text == ",":
                commas += 1
            elif token.text in _CLAUSE:
                inside.add(token.text)
            elif token.shape in ("be", "modal", "have") and index < first - 2:
                verbs += 1
            elif token.text in "()":
                depth += 1 if token.text == ")" else -1
        at = "cue" if index == first else "near" if first - index < 3 else "far"
        own = [
            f"l{at}|{name}",
            f"l{at}|{name}|{before.shape}|{head.shape}",
            f"l{at}|{kind}|{before.shape}|{head.text}",
            f"l{at}|{name}|{after.shape}",
            f"l{at}|{kind}|{before.shape}|{after.shape}|{after2.shape}",
            f"l{at}|{name}|{head.text}",
            f"l{at}|{name}|{before.text}",
        ]
        if index < first:
            own += [
                f"lw|{token.text}",
                f"lp|{previous.text}",
                f"lp|{previous.text}|{token.text}",
                f"lps|{previous.shape}|{token.shape}",
                f"lp2|{previous2.text}|{previous.text}",
                f"lps2|{previous2.shape}|{previous.shape}|{token.shape}",
                f"lk|{kind}|{previous.text}|{bool(commas)}",
                f"ld|{kind}|{_bucket(first - index)}",
                f"lc|{min(commas, 3)}|{previous.text}",
                f"lv|{min(verbs, 3)}",
                f"lv|{min(verbs, 3)}|{previous.shape}",
                f"lb|{depth}",
                *(f"lx|{word}" for word in inside),
            ]
            if index == 0:
                own.append(f"l0|{min(verbs, 2)}|{min(commas, 2)}")
        crossed.append(own)
    return reversed(crossed)


def right_places(tokens: Sequence[Token], candidate: Candidate) -> list[int]:
    """Where the scope may end: indices behind its last token. It never ends with a word that asks for more."""
    behind = candidate.behind
    return [
        place
        for place in range(behind, min(len(tokens), behind + 2 * _FAR) + 1)
        if place == behind or _may_end(tokens, place)
    ]


def _may_end(tokens: Sequence[Token], place: int) -> bool:
    return tokens[place - 1].text not in _OPEN and _at(tokens, place).text != "of"


def right_features(tokens: Sequence[Token], candidate: Candidate, left: int) -> Iterator[list[str]]:
    """The features of every right place, in order; `left` is where the scope begins."""
    behind, name, kind = candidate.behind, candidate.name, candidate.kind[0]
    head, after, before = _head(tokens, behind), _at(tokens, behind), _at(tokens, candidate.first - 1)
    side = f"{kind}{'b' if left < candidate.first else 'f'}"
    inside: set[str] = set()
    commas = verbs = depth = 0
    last = len(tokens)
    while last > behind and tokens[last - 1].text in _CLOSERS:
        last -= 1
    for place in range(behind, min(len(tokens), behind + 2 * _FAR) + 1):
        token, following, following2 = _at(tokens, place - 1), _at(tokens, place), _at(tokens, place + 1)
        if place > behind:
            if token.text == ",":
                commas += 1
            elif token.text in _CLAUSE:
                inside.add(token.text if tokens[place - 2].text != "," else f",{token.text}")
            elif token.shape in ("be", "modal", "have"):
                verbs += 1
            elif token.text in "([":
                depth += 1
            elif token.text in ")]":
                depth -= 1
        if place > behind and not _may_end(tokens, place):
            continue
        end = "end" if place == last else "past" if place > last else "in"
        own = [
            f"r{end}|{name}|{side}",
            f"r{end}|{min(commas, 2)}|{min(verbs, 2)}|{side}",
            f"rn|{following.text}",
            f"rn|{following.text}|{side}",
            f"rn|{name}|{following.text}",
            f"rn|{following.text}|{following2.text}",
            f"rns|{following.shape}|{following2.shape}",
            f"rns|{side}|{following.shape}|{following2.shape}",
            f"rns|{token.shape}|{following.shape}",
            f"rns|{token.shape}|{following.shape}|{following2.shape}",
            f"rw|{token.text}",
            f"rws|{token.shape}|{end}",
            f"rwn|{token.text}|{following.text}",
            f"rc|{min(commas, 3)}|{following.text}",
            f"rc|{min(commas, 3)}|{following.text}|{following2.shape}|{side}",
            f"rv|{min(verbs, 3)}|{following.shape}|{side}",
            f"rb|{depth}|{end}",
            f"rd|{side}|{_bucket(place - behind)}",
            f"rd|{name}|{min(place - behind, 3)}|{following.shape}",
            f"rh|{head.shape}|{following.shape}|{side}",
            f"rh|{head.text}|{following.shape}|{side}",
            f"ra|{after.shape}|{following.shape}|{side}",
            f"rp|{before.shape}|{following.shape}|{end}|{side}",
            *(f"rx|{word}|{side}" for word in inside),
            *(f"rx|{word}|{name}" for word in inside),
        ]
        yield own


class ScopeModel:
    """Finds cues of the kinds it was trained on, and their scopes.

    `lexicon` lists by kind what may be a cue, tokens joined by blanks; `weights` has an array of 2**BITS for
    each of PARTS.
    """

    def __init__(
        self, lexicon: Mapping[Kind, Iterable[str]], weights: Mapping[str, npt.NDArray[np.float32]]
    ) -> None:
        self._kinds: dict[tuple[str, ...], list[Kind]] = {}
        for kind, names in lexicon.items():
            for name in names:
                self._kinds.setdefault(tuple(name.split(" ")), []).append(kind)
        self._longest: dict[str, int] = {}
        for words in self._kinds:
            self._longest[words[0]] = max(self._longest.get(words[0], 0), len(words))
        self._known: dict[str, dict[str, float]] = {part: {} for part in PARTS}
        self._weights: dict[str, list[float]] = {part: weights[part].tolist() for part in PARTS}

    def cue_scopes(self, text: str) -> list[ScopedCue]:
        """Cues with their scopes, the surest first; none where there are more than `MOST_CUES`.

        Cues of a kind do not overlap.
        """
        tokens = tokens_of(text)
        cues = self.cues(tokens)
        return [self._scoped(tokens, cue) for cue in cues] if len(cues) <= MOST_CUES else []

    def cues(self, tokens: Sequence[Token]) -> list[Candidate]:
        """The candidates that are cues, the surest first."""
        scored = [
            (score, candidate)
            for candidate in self.candidates(tokens)
            if (score := self._score("cue", cue_features(tokens, candidate))) > 0
        ]
        taken: set[tuple[Kind, int]] = set()
        kept = []
        for _, candidate in sorted(scored, key=lambda item: -item[0]):
            own = {(candidate.kind, index) for index in range(candidate.first, candidate.behind)}
            if not own & taken:
                taken |= own
                kept.append(candidate)
        return kept

    def candidates(self, tokens: Sequence[Token]) -> Iterator[Candidate]:
        """Whatever is in the lexicon."""
        for first, token in enumerate(tokens):
            for behind in range(first + 1, first + 1 + self._longest.get(token.text, 0)):
                words = tuple(other.text for other in tokens[first:behind])
                for kind in self._kinds.get(words, ()):
                    yield Candidate(kind, first, behind, " ".join(words))

    def scope(self, tokens: Sequence[Token], cue: Candidate) -> tuple[int, int]:
        """The tokens first..behind that the cue acts on, itself among them."""
        left = left_places(cue).start + self._best("left", left_features(tokens, cue))
        right = right_places(tokens, cue)[self._best("right", right_features(tokens, cue, left))]
        return left, right

    def _scoped(self, tokens: Sequence[Token], cue: Candidate) -> ScopedCue:
        left, right = self.scope(tokens, cue)
        words = Span(tokens[cue.first].start, tokens[cue.behind - 1].end)
        return ScopedCue(cue.kind, (words,), Span(tokens[left].start, tokens[right - 1].end))

    def _best(self, part: str, places: Iterable[list[str]]) -> int:
        scores = [self._score(part, features) for features in places]
        return scores.index(max(scores))

    def _score(self, part: str, features: Iterable[str]) -> float:
        known, total = self._known[part], 0.0
        for feature in features:
            weight = known.get(feature)
            if weight is None:
                if len(known) >= _KNOWN:
                    known.clear()
                weight = known[feature] = self._weights[part][number(feature)]
            total += weight
        return total


@cache
def scope_model() -> ScopeModel:
    """The shipped model."""
    with safe_open(str(files("models.assertion") / "data" / WEIGHTS), "numpy") as stored:
        lexicon = {kind: stored.metadata()[kind].split("\n") for kind in KINDS}
        weights = {}
        for part in PARTS:
            weights[part] = np.zeros(1 << BITS, np.float32)
            weights[part][stored.get_tensor(f"{part}.places")] = stored.get_tensor(f"{part}.weights")
    return ScopeModel(lexicon, weights)


def number(feature: str) -> int:
    """Where the weight of a feature stands."""
    return crc32(feature.encode(errors="surrogatepass")) & _MASK

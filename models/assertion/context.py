"""The rule engine: cues, their scopes, and what they make of a mention.

After ConText (Harkema et al. 2009): a cue acts on one side of itself, up to an END cue or the sentence's end,
at most so many words. Priors by section come last: what stands under "family history" is about relatives.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from domain.text import (
    Assertion,
    Certainty,
    Cue,
    Experiencer,
    Mention,
    Page,
    Polarity,
    Section,
    Span,
    Temporality,
)
from models.analysis import pieces
from models.assertion.cues import CueTable, Effect, Rule, cue_table
from models.assertion.scopes import ScopeModel, scope_model
from models.sections import PageSections
from models.sentences import split_sentences

VERSION = "3"
_EFFECTS = {"negation": Effect.NEGATED, "speculation": Effect.UNCERTAIN}
_PRIORS = {"family_history": Effect.FAMILY, "past_history": Effect.HISTORICAL}
_PRECEDENCE = (Effect.FAMILY, Effect.HYPOTHETICAL, Effect.HISTORICAL, Effect.NEGATED, Effect.UNCERTAIN)
_PUNCTUATION = re.compile(r"\(-\)|\?+|[,;:()]|(?<=\s)[-–](?=\s)")
BEGIN, END = "^", "$"
"""The words that stand for the two ends of a sentence."""
_AROUND = "? "
"""What may stand in a mention's span without belonging to it: `?PE`."""
_CONDITIONS = frozenset((BEGIN, END, ",", ";", ":", "-", "(", ")"))
_HEADING = re.compile(r"[^:\n]{1,60}")


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a punctuation mark of a sentence, with its place in the page."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scope:
    """The words first..behind of a sentence are under `effects`, because of the cue."""

    effects: tuple[Effect, ...]
    first: int
    behind: int
    cue: Cue
    distance_from: int
    """The word of the cue that is next to the scope."""
    begins_before: int = sys.maxsize
    """Only mentions whose first word is before this one are meant."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Where its words begin and end, and its scopes."""

    starts: list[int]
    ends: list[int]
    scopes: list[Scope]

    @classmethod
    def of(cls, words: Sequence[Word], scopes: list[Scope]) -> Sentence:
        return cls([word.start for word in words], [word.end for word in words], scopes)


class ContextRules:
    """Assertion by rules; see `cues` for the data."""

    name = f"context-rules@{VERSION}"

    def __init__(self, cues: CueTable | None = None, prose: ScopeModel | None = None) -> None:
        self._cues = cue_table() if cues is None else cues
        self._prose = scope_model() if prose is None else prose

    def assess(
        self, page: Page, mentions: Sequence[Mention], sections: Sequence[Section], *, article: bool = False
    ) -> list[Assertion]:
        """One assertion a mention of the page; the learned scopes have a part in articles only."""
        sentences = split_sentences(page.text)
        starts = [sentence.start for sentence in sentences]
        placed = PageSections(sections)
        cached: dict[int, Sentence] = {}
        assertions: list[Assertion] = []
        for mention in mentions:
            index = max(0, bisect_right(starts, mention.start) - 1)
            if index not in cached:
                words = words_of(page.text, sentences[index])
                scopes = self.scopes(page.text, words)
                if article:
                    scopes = self._learned(page.text, sentences[index], words, scopes)
                cached[index] = Sentence.of(words, scopes)
            assertions.append(_judged(page, mention, cached[index], placed.at(mention.start)))
        return assertions

    def scopes(self, text: str, words: list[Word]) -> list[Scope]:
        """All scopes in one sentence of `text`."""
        found = list(self._find(words))
        ends = [
            (first, behind) for first, behind, rules in found if any(Effect.END in r.effects for r in rules)
        ]
        return [
            scope
            for first, behind, rules in found
            for scope in (
                self._within(text, words, first, behind)
                if rules[0].effects == (Effect.NONE,)
                else _scopes(text, words, ends, first, behind, rules)
            )
            if scope.first < scope.behind
        ]

    def _learned(self, text: str, sentence: Span, words: list[Word], scopes: Sequence[Scope]) -> list[Scope]:
        """`scopes`, where negation and doubt of a cue that the model of research prose knows are as it sees them."""
        starts, ends = [word.start for word in words], [word.end for word in words]
        learned: list[Scope] = []
        for found in self._prose.cue_scopes(text[sentence.start : sentence.end]):
            start, end = (sentence.start + edge for edge in (found.pieces[0].start, found.pieces[-1].end))
            first = bisect_right(ends, sentence.start + found.scope.start)
            behind = bisect_left(starts, sentence.start + found.scope.end)
            cue = Cue(start, end, text[start:end])
            learned.append(Scope((_EFFECTS[found.kind],), first, behind, cue, bisect_right(ends, start)))
        return [*(_without(scope, learned) for scope in scopes), *learned]

    def _find(self, words: list[Word]) -> Iterator[tuple[int, int, tuple[Rule, ...]]]:
        """Cues from the left, the longest at each place; they do not overlap, but for what ends scopes."""
        texts = [word.text for word in words]
        position = 0
        while position < len(texts):
            found = self._cues.longest_at(texts, position)
            if found is None:
                position += 1
                continue
            length, rules = found
            yield position, position + length, rules
            position += 1 if rules[0].effects == (Effect.END,) else length

    def _within(self, text: str, words: list[Word], first: int, behind: int) -> Iterator[Scope]:
        """What only looks like a cue still acts on a mention that begins in it: `no change in mental status`."""
        texts = [word.text for word in words[first:behind]]
        for length in range(len(texts) - 1, 0, -1):
            found = self._cues.longest_at(texts[:length], 0)
            if found is not None and found[0] == length:
                for scope in _scopes(text, words, [], first, first + length, found[1]):
                    if scope.first >= first + length:
                        yield replace(scope, begins_before=behind)


def _without(scope: Scope, learned: Sequence[Scope]) -> Scope:
    """The scope without the effects of learned cues that overlap its own."""
    theirs = {
        effect
        for other in learned
        if other.cue.start < scope.cue.end and scope.cue.start < other.cue.end
        for effect in other.effects
    }
    return replace(scope, effects=tuple(effect for effect in scope.effects if effect not in theirs))


def _scopes(
    text: str,
    words: list[Word],
    ends: list[tuple[int, int]],
    first: int,
    behind: int,
    rules: Sequence[Rule],
) -> Iterator[Scope]:
    for rule in rules:
        if rule.effects[0] not in (Effect.END, Effect.NONE):
            yield _scope(text, words, ends, first, behind, rule)


def words_of(text: str, sentence: Span) -> list[Word]:
    """The terms of a sentence and the punctuation that matters for scopes."""
    words: list[Word] = [Word(BEGIN, sentence.start, sentence.start)]
    position = sentence.start
    for term, _, begin, behind in pieces(text[sentence.start : sentence.end]):
        start, end = sentence.start + begin, sentence.start + behind
        if text[position:start] != " ":
            words.extend(_marks(text, position, start))
        words.append(Word(term, start, end))
        position = end
    words.extend(_marks(text, position, sentence.end))
    words.append(Word(END, sentence.end, sentence.end))
    return words


def _marks(text: str, start: int, end: int) -> Iterator[Word]:
    for match in _PUNCTUATION.finditer(text, start, end):
        mark = match.group()
        yield Word("?" if mark[0] == "?" else "-" if mark == "–" else mark, *match.span())


def _scope(
    text: str, words: list[Word], ends: list[tuple[int, int]], first: int, behind: int, rule: Rule
) -> Scope:
    cue = _cue(text, words[first:behind])
    if rule.forward:
        stop = next((end for end, _ in ends if end >= behind), len(words))
        stop = _within_parentheses(words, behind, min(stop, behind + rule.limit))
        return Scope(rule.effects, behind, stop, cue, behind - 1)
    start = max((after for _, after in ends if after <= first), default=0)
    return Scope(rule.effects, max(start, first - rule.limit), first, cue, first)


def _cue(text: str, words: Sequence[Word]) -> Cue:
    """The cue's words without the punctuation that is only its condition."""
    kept = [word for word in words if word.text not in _CONDITIONS] or list(words)
    start, end = kept[0].start, kept[-1].end
    return Cue(start, end, text[start:end])


def _within_parentheses(words: list[Word], first: int, behind: int) -> int:
    """`behind`, or the parenthesis that closes around a cue inside one."""
    depth = 0
    for index in range(first, behind):
        depth += {"(": 1, ")": -1}.get(words[index].text, 0)
        if depth < 0:
            return index
    return behind


def _judged(page: Page, mention: Mention, sentence: Sentence, section: Section | None) -> Assertion:
    own = Span(mention.start + len(mention.text) - len(mention.text.lstrip(_AROUND)), mention.end)
    first = bisect_right(sentence.ends, own.start)
    behind = bisect_left(sentence.starts, own.end)
    causes: dict[Effect, tuple[int, Cue]] = {}
    for scope in sentence.scopes:
        if (
            scope.first <= first < scope.begins_before
            and behind <= scope.behind
            and not _inside(scope.cue, own)
        ):
            distance = abs(scope.distance_from - first)
            for effect in scope.effects:
                if effect not in causes or distance < causes[effect][0]:
                    causes[effect] = distance, scope.cue
    reasons: dict[Effect, Cue | None] = {effect: cue for effect, (_, cue) in causes.items()}
    if prior := _prior(page, mention, section):
        reasons.setdefault(*prior)
    return _assertion(reasons)


def _inside(cue: Cue, mention: Span) -> bool:
    return mention.start <= cue.start and cue.end <= mention.end


def _prior(page: Page, mention: Mention, section: Section | None) -> tuple[Effect, Cue | None] | None:
    if section is None or section.name not in _PRIORS:
        return None
    heading = _HEADING.match(page.text, section.start)
    cue = Cue(*heading.span(), heading.group()) if heading and section.start < mention.start else None
    return _PRIORS[section.name], cue


def _assertion(reasons: dict[Effect, Cue | None]) -> Assertion:
    deciding = next((effect for effect in _PRECEDENCE if effect in reasons), None)
    return Assertion(
        polarity=Polarity.NEGATED if Effect.NEGATED in reasons else Polarity.AFFIRMED,
        certainty=Certainty.UNCERTAIN if Effect.UNCERTAIN in reasons else Certainty.CERTAIN,
        temporality=_temporality(reasons),
        experiencer=Experiencer.FAMILY if Effect.FAMILY in reasons else Experiencer.PATIENT,
        cue=None if deciding is None else reasons[deciding],
    )


def _temporality(reasons: dict[Effect, Cue | None]) -> Temporality:
    if Effect.HYPOTHETICAL in reasons:
        return Temporality.HYPOTHETICAL
    return Temporality.HISTORICAL if Effect.HISTORICAL in reasons else Temporality.CURRENT

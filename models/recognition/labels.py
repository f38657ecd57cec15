"""The labels of a foreign model as types of ours: by a map, or where they have our names. No label is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.text import MentionType
from models.folders import ModelUnavailable
from models.recognition.tags import WordSpan

NOTHING = "none"
"""What a label is mapped to whose mentions are not wanted."""

_OUTSIDE = "O"
_BEGINS, _ENDS = ("B", "S", "U"), ("E", "L", "S", "U")
_PREFIXES = frozenset("BIESLU")


class UnknownLabel(ModelUnavailable):
    """A model finds what we have no type for, and the settings do not say what to make of it."""

    code = "models.labels"


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a word: whether a mention begins or ends with it, and what it is; without a type, none is."""

    name: str
    type: MentionType | None
    begins: bool = False
    ends: bool = False


def read_labels(id2label: Mapping[object, object], mapping: Mapping[str, str], model: str) -> list[Label]:
    """The labels of a `config.json`, by number: `O`, `B-x I-x` (also `E- S-` or `L- U-`), or plain `x`.

    `mapping` leads from x, in any case, to a type of ours or `none`; it may not name an x that the model has
    not. Raises `UnknownLabel`.
    """
    try:
        numbered = {int(str(number)): str(label) for number, label in id2label.items()}
        parts = [_parts(numbered[number]) for number in range(len(numbered))]
    except (KeyError, ValueError) as error:
        raise ModelUnavailable(f"The labels of {model} are not numbered from 0.") from error
    names = {name.casefold(): name for _, name in parts if name != _OUTSIDE}
    types = _types({key.casefold(): value for key, value in mapping.items()}, names, model)
    return [
        Label(name, types.get(name.casefold()), begins=prefix in _BEGINS, ends=prefix in _ENDS)
        for prefix, name in parts
    ]


def spans_of_labels(labels: Sequence[Label]) -> Iterator[WordSpan]:
    """The mentions in a sequence of labels: a span goes on while the name stays and nothing begins or ends it."""
    begun: tuple[int, Label] | None = None
    for place, label in enumerate([*labels, Label(_OUTSIDE, None)]):
        if begun is not None:
            first, opening = begun
            if label.name != opening.name or label.begins or labels[place - 1].ends:
                if opening.type is not None:
                    yield first, place, opening.type
                begun = None
        if begun is None and label.name != _OUTSIDE:
            begun = place, label


def _parts(label: str) -> tuple[str, str]:
    prefix, dash, name = label.partition("-")
    if dash and name and prefix.upper() in _PREFIXES:
        return prefix.upper(), name
    return "", _OUTSIDE if label.upper() == _OUTSIDE else label


def _types(mapping: Mapping[str, str], names: Mapping[str, str], model: str) -> dict[str, MentionType | None]:
    """By folded name; None for what is not wanted."""
    known = {kind.value: kind for kind in MentionType}
    if absent := sorted(mapping.keys() - names.keys()):
        raise UnknownLabel(
            f"models.recognizer_labels names {', '.join(absent)}, but {model} has {', '.join(sorted(names.values()))}."
        )
    meant = {name: mapping.get(name, name).casefold() for name in names}
    if unknown := sorted(names[name] for name, kind in meant.items() if kind not in {*known, NOTHING}):
        raise UnknownLabel(
            f"{model} has labels that are no types of ours: {', '.join(unknown)}. Say in models.recognizer_labels"
            f" what each is: {', '.join(known)}, or {NOTHING}."
        )
    return {name: known.get(kind) for name, kind in meant.items()}

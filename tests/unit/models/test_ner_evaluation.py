"""Strict span figures and the type map."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from domain.text import Mention, MentionType, Page
from models.evaluation.corpora import CorpusFault, Labelled, LabelledText
from models.evaluation.ner import evaluate, type_map

TEXT = LabelledText(
    "one",
    "fever, aspirin and severe cough",
    (Labelled(0, 5, "Sign"), Labelled(7, 14, "Chemical"), Labelled(19, 31, "Sign"), Labelled(15, 18, "Word")),
)


class Fixed:
    """Finds what it was told, whatever the text."""

    name = "fixed@1"

    def __init__(self, *found: tuple[int, int, MentionType]) -> None:
        self.found = found

    def recognise(self, pages: Sequence[Page]) -> list[Mention]:
        return [Mention(1, start, end, pages[0].text[start:end], kind) for start, end, kind in self.found]


def test_start_end_and_type_must_all_be_right() -> None:
    found = Fixed(
        (0, 5, MentionType.SIGN),
        (7, 14, MentionType.SIGN),
        (26, 31, MentionType.SIGN),
        (15, 18, MentionType.TEST),
    )
    result = evaluate(found, [TEXT], {"Sign": MentionType.SIGN, "Chemical": MentionType.DRUG})
    sign, drug = result.by_type[MentionType.SIGN], result.by_type[MentionType.DRUG]
    assert (sign.right, sign.gold, sign.found) == (1, 2, 3)
    assert (sign.precision, sign.recall, sign.f1) == (pytest.approx(1 / 3), 0.5, 0.4)
    assert (drug.right, drug.gold, drug.found, drug.f1, drug.precision) == (0, 1, 0, 0.0, 0.0)
    assert result.micro.f1 == pytest.approx(2 / 6)
    assert [(each.kind, each.surface) for each in result.mistakes] == [
        ("missed", "aspirin"),
        ("wrong", "aspirin"),
        ("missed", "severe cough"),
        ("wrong", "cough"),
    ]


def test_types_of_the_corpus_are_mapped_or_named_alike() -> None:
    assert type_map([], [TEXT]) == {"Sign": MentionType.SIGN}
    assert type_map(["Chemical=drug"], [TEXT]) == {"Chemical": MentionType.DRUG}


@pytest.mark.parametrize("pair", ["Chemical=medicine", "Disease=problem", "Chemical"])
def test_a_type_that_does_not_exist_is_refused(pair: str) -> None:
    with pytest.raises(CorpusFault):
        type_map([pair], [TEXT])


def test_without_any_type_of_ours_a_map_is_asked_for() -> None:
    with pytest.raises(CorpusFault, match="--map"):
        type_map([], [LabelledText("x", "a", (Labelled(0, 1, "Q"),))])

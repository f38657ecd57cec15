"""What people read: excerpts with highlights, assertions with their cue, outcomes in words."""

from __future__ import annotations

import io
from typing import Any

import pytest
import typer
from rich.console import Console

from cluster.cli import display, queries, uploading

TEXT = (
    "The radiograph is clear. " * 10
    + "There is no evidence of pneumonia or effusion. "
    + "The heart is normal. " * 10
)
AT = TEXT.index("pneumonia")
OFFSET = 1000
"""Where the passage starts in its page; all offsets count from the page's start."""


@pytest.fixture
def passage() -> dict[str, Any]:
    cue = TEXT.index("no evidence of")
    return {
        "page": 2,
        "section": "impression",
        "start": OFFSET,
        "end": OFFSET + len(TEXT),
        "text": TEXT,
        "highlights": [{"start": OFFSET + AT, "end": OFFSET + AT + 9}],
        "mentions": [
            mention(AT, "pneumonia", "ICD10CM:J18.9", "negated", cue),
            mention(AT + 13, "effusion", "ICD10CM:J90", "negated", cue),
        ],
    }


def mention(start: int, text: str, concept: str, assertion: str, cue: int) -> dict[str, Any]:
    return {
        "start": OFFSET + start,
        "end": OFFSET + start + len(text),
        "text": text,
        "type": "problem",
        "concept": concept,
        "label": f"Label of {text}",
        "assertion": assertion,
        "polarity": "negated" if assertion == "negated" else "affirmed",
        "cue": {"start": OFFSET + cue, "end": OFFSET + cue + 14, "text": "no\nevidence of"},
    }


def answer(passage: dict[str, Any], **more: Any) -> dict[str, Any]:
    hit = {
        "document_id": "0190", "version": 1, "title": "Chest [CT]", "document_type": "radiology",
        "document_date": "2025-02-11", "patient": "DEMO|1002", "score": 0.7, "passages": [passage],
    }  # fmt: skip
    return {
        "total": {"value": 1, "relation": "eq"},
        "hits": [hit],
        "facets": {},
        "next_cursor": None,
        "took_ms": 7,
        **more,
    }


def shown(answer: dict[str, Any], concepts: tuple[str, ...] = (), *, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=300, force_terminal=terminal, color_system="standard" if terminal else None
    )
    console.print(display.search_results(answer, console, concepts))
    return console.file.getvalue()


def test_an_excerpt_is_around_the_first_highlight(passage: dict[str, Any]) -> None:
    text = display.excerpt(passage, colour=False).plain
    assert "no evidence of [pneumonia] or effusion" in text
    assert text.startswith("…")
    assert text.endswith("…")
    assert len(text) < display.EXCERPT + 30


def test_a_short_passage_is_shown_whole() -> None:
    whole = {"start": 5, "text": "Fever and\ncough.", "highlights": [{"start": 15, "end": 20}]}
    assert display.excerpt(whole, colour=False).plain == "Fever and [cough]."


def test_a_passage_found_by_meaning_has_no_brackets(passage: dict[str, Any]) -> None:
    text = display.excerpt({**passage, "highlights": []}, colour=False).plain
    assert text.startswith("The radiograph is clear.")
    assert "[" not in text


def test_a_negated_mention_shows_its_cue(passage: dict[str, Any]) -> None:
    output = shown(answer(passage))
    assert "✗ negated (cue: no evidence of)  pneumonia  ICD10CM:J18.9  Label of pneumonia" in output
    assert "effusion  ICD10CM:J90" not in output
    assert "page 2, impression: " in output
    assert "radiology  2025-02-11  DEMO|1002  0190" in output


def test_an_asked_concept_is_shown_without_a_highlight(passage: dict[str, Any]) -> None:
    assert "effusion  ICD10CM:J90" in shown(answer(passage), ("ICD10CM:J90",))


def test_titles_are_not_markup(passage: dict[str, Any]) -> None:
    assert "Chest [CT]" in shown(answer(passage))


def test_a_terminal_gets_colour_instead_of_brackets(passage: dict[str, Any]) -> None:
    output = shown(answer(passage), terminal=True)
    assert "[pneumonia]" not in output
    assert "\x1b[1;33mpneumonia\x1b[0m" in output


def test_facets_cursor_and_explanation(passage: dict[str, Any]) -> None:
    facets = {
        "concept": [{"value": "ICD10CM:J18.9", "label": "Pneumonia", "assertion": "affirmed", "count": 12}]
    }
    result = answer(passage, facets=facets, next_cursor="abc", total={"value": 20, "relation": "eq"})
    result["hits"][0]["explanation"] = {
        "lexical": {"rank": 1, "score": 1.0}, "semantic": None, "terms": ["pneumonia"],
        "concepts": ["ICD10CM:J18.9"], "assertion": 0.5,
    }  # fmt: skip
    output = shown(result)
    assert "20 documents in 7 ms" in output
    assert "12  ICD10CM:J18.9  Pneumonia  affirmed" in output
    assert "1 are shown. For more: a larger --limit, or --cursor" in output
    assert (
        "why: lexical rank 1 score 1.00; terms pneumonia; concepts ICD10CM:J18.9; assertion factor 0.50"
        in output
    )


def test_a_missing_leg_is_told(passage: dict[str, Any]) -> None:
    assert "search by semantic did not answer" in shown(answer(passage, degraded=["semantic"]))
    assert "Incomplete" not in shown(answer(passage, degraded=[]))


def test_outcomes_in_words() -> None:
    reason = {"code": "empty", "message": "The file is empty.", "action": "Check the file."}
    assert (
        display.outcome_line({"status": "rejected", "reason": reason}).plain
        == "rejected: The file is empty. Check the file."
    )
    working = {"status": "processing", "stage": "embed", "progress": 0.42}
    assert display.outcome_line(working).plain == "processing embed 42 %"


def test_an_upload_report_tells_failure_from_success() -> None:
    good = {"file": "a.pdf", "id": "one", "status": "received", "duplicate": True}
    bad = {"file": "b.pdf", "error": "Too large. (request.too_large)"}
    assert uploading.succeeded([good])
    assert not uploading.succeeded([good, bad])
    assert not uploading.succeeded([{**good, "status": "rejected"}])
    console = Console(file=io.StringIO(), width=200)
    console.print(uploading.report_table([good, bad]))
    output = console.file.getvalue()
    assert "received (was there before)" in output
    assert "Too large. (request.too_large)" in output


def test_filters_become_the_request() -> None:
    entities = [queries.entity("ICD10CM:J18.9=negated, uncertain")]
    texts = ["type=radiology", "type=referral", "from=2024-01-01", "patient=DEMO|1001", "section=impression"]
    assert queries.filters(texts, entities) == {
        "entities": [{"concept": "ICD10CM:J18.9", "assertion": ["negated", "uncertain"]}],
        "document_type": ["radiology", "referral"],
        "date": {"from": "2024-01-01", "to": None},
        "patient": "DEMO|1001",
        "section": ["impression"],
    }


@pytest.mark.parametrize("wrong", ["pneumonia", "ICD10CM:J18.9=certainly"])
def test_a_wrong_entity_is_explained(wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is not a"):
        queries.entity(wrong)


@pytest.mark.parametrize("wrong", ["type", "colour=red"])
def test_a_wrong_filter_is_explained(wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match="Write one of type=, department="):
        queries.filters([wrong], [])


def test_passages_without_a_match_are_left_out(passage: dict[str, Any]) -> None:
    other = {**passage, "page": 5, "highlights": [], "mentions": []}
    result = answer(passage)
    result["hits"][0]["passages"] = [other, passage]
    assert "page 2" in shown(result)
    assert "page 5" not in shown(result)


def test_a_hit_by_meaning_alone_shows_its_best_passage(passage: dict[str, Any]) -> None:
    result = answer(passage)
    result["hits"][0]["passages"] = [
        {**passage, "page": page, "highlights": [], "mentions": []} for page in (5, 6)
    ]
    assert "page 5" in shown(result)
    assert "page 6" not in shown(result)


def test_columns_of_a_table_are_one_blank_apart() -> None:
    table = {"start": 0, "text": "Sodium      134   low\nPotassium", "highlights": [{"start": 12, "end": 15}]}
    assert display.excerpt(table, colour=False).plain == "Sodium [134] low Potassium"


def test_what_was_recognised_is_told_once_by_type() -> None:
    drug = {**mention(0, "aspirin", "DRUGBANK:DB00945", "affirmed", 0), "type": "drug", "cue": None}
    heart = {
        **mention(0, "heart", "", "affirmed", 0),
        "type": "anatomy",
        "concept": None,
        "label": None,
        "cue": None,
    }
    denied = mention(0, "pneumonia", "ICD10CM:J18.9", "negated", 0)
    table = entities([heart, drug, denied, drug])
    lines = [" ".join(line.split()) for line in table.splitlines()]
    assert lines == [
        "type mention assertion concept",
        "problem pneumonia negated (no evidence of) ICD10CM:J18.9 Label of pneumonia",
        "drug aspirin x 2 affirmed DRUGBANK:DB00945 Label of aspirin",
        "anatomy heart affirmed",
    ]
    assert "Nothing was recognised" in entities([])


def test_what_is_historical_and_denied_is_not_told_as_if_it_had_been() -> None:
    denied = {**mention(0, "diabetes", "ICD10CM:E11.9", "historical", 0), "polarity": "negated"}
    assert "historical, negated (no evidence of)" in entities([denied])
    unknown = {**denied, "type": "gene"}
    assert entities([unknown, denied]).index("problem") < entities([unknown, denied]).index("gene")


def entities(mentions: list[dict[str, Any]]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(display.entity_table(mentions))
    return console.file.getvalue()

"""Labelled files of assertions: what is read, what is refused, and the figures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.__main__ import app
from domain.errors import Invalid
from domain.text import Span
from models.assertion.context import ContextRules
from models.assertion.scopes import ScopedCue
from models.evaluation.assertion import evaluate, parse_judged, read_judged
from models.evaluation.bioscope import (
    ScopedSentence,
    compare,
    derived_mentions,
    is_held_out,
    read_bioscope,
    split,
)

HEADER = "text\tstart\tend\tpolarity\tcertainty\ttemporality\texperiencer\n"
ROWS = (
    HEADER
    + "No fever today.\t3\t8\tnegated\tcertain\tcurrent\tpatient\n"
    + "His mother had asthma.\t15\t21\taffirmed\t\t\tfamily\n"
    + "He has gout.\t7\t11\tnegated\t\t\t\n"
)
PACKAGED = Path(__file__).parents[3] / "models" / "evaluation" / "data"


def test_figures_by_class() -> None:
    scores = evaluate(ContextRules(), parse_judged(ROWS, "rows"))
    negated = scores.classes["polarity", "negated"]
    assert (negated.right, negated.wrong, negated.missed) == (1, 0, 1)
    assert negated.f1 == pytest.approx(2 / 3)
    assert scores.classes["experiencer", "family"].f1 == 1
    assert ("certainty", "uncertain") not in scores.classes
    (difference,) = scores.differences
    assert (difference.row.line, difference.axis, difference.found) == (4, "polarity", "affirmed")
    assert scores.accuracy("polarity") == pytest.approx(2 / 3)


def test_an_empty_value_is_not_judged() -> None:
    scores = evaluate(ContextRules(), parse_judged(HEADER + "No fever.\t3\t8\t\t\t\t\n", "rows"))
    assert (scores.mentions, scores.classes, scores.differences) == (1, {}, ())


def test_articles_are_judged_as_such_where_one_says_so(tmp_path: Path) -> None:
    text = "The mutation was not found in asthma, whereas it was frequent."
    data = tmp_path / "rows.tsv"
    data.write_text(HEADER + f"{text}\t{text.index('asthma')}\t{text.index(',')}\tnegated\t\t\t\n")
    command = ["evaluate", "assertion", "--data", str(data), "--json"]
    accuracy = [
        json.loads(CliRunner().invoke(app, [*command, *more]).output)["accuracy"]["polarity"]
        for more in ([], ["--articles"])
    ]
    assert accuracy == [0, 1]


def test_columns_in_any_order_with_others_between() -> None:
    content = "id\tend\tstart\ttext\tpolarity\tcertainty\ttemporality\texperiencer\r\n7\t8\t3\tNo fever.\tnegated\t\t\t\r\n"
    (row,) = parse_judged(content, "rows")
    assert (row.text[row.start : row.end], row.values, row.extra) == (
        "fever",
        {"polarity": "negated"},
        {"id": "7"},
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('"No ""real"" fever."', 'No "real" fever.'),
        ('"No fever."', '"No fever."'),
        ('"FAMILY HISTORY:\nasthma"', "FAMILY HISTORY:\nasthma"),
    ],
)
def test_quotes_of_csv(field: str, text: str) -> None:
    rows = parse_judged(HEADER + f"{field}\t1\t4\t\t\t\t\nNo fever.\t3\t8\t\t\t\t\n", "rows")
    assert [row.text for row in rows] == [text, "No fever."]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("text\tstart\tend\n", "no column polarity, certainty, temporality, experiencer"),
        (HEADER, "no rows"),
        (HEADER + "No fever.\t3\n", "line 2: 2 columns, the header has 7"),
        (HEADER + "No fever.\tthree\t8\t\t\t\t\n", "line 2: start 'three' is not a whole number"),
        (HEADER + "No fever.\t-3\t8\t\t\t\t\n", "line 2: start '-3' is not a whole number"),
        (HEADER + "\nNo fever.\t3\t80\t\t\t\t\n", "line 3: 3..80 is no span of a text of 9 characters"),
        (HEADER + "No fever.\t3\t3\t\t\t\t\n", "line 2: 3..3 is no span"),
        (
            HEADER + "No fever.\t3\t8\tabsent\t\t\t\n",
            "line 2: polarity 'absent' is not one of affirmed, negated",
        ),
        (HEADER + "No fever.\t3\t8\t\t\t\tmother\n" * 12, "... and 2 more."),
    ],
)
def test_wrong_rows_are_named_by_line(content: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_judged(content, "rows")
    assert said in caught.value.message


def test_command_prints_figures_and_writes_errors(tmp_path: Path) -> None:
    data, errors = tmp_path / "rows.tsv.gz", tmp_path / "errors.tsv"
    data.write_bytes(gzip.compress(ROWS.encode()))
    done = CliRunner().invoke(
        app, ["evaluate", "assertion", "--data", str(data), "--json", "--errors", str(errors)]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(done.output)
    assert figures["mentions"] == 3
    assert {
        "axis": "experiencer",
        "class": "family",
        "precision": 1.0,
        "recall": 1.0,
        "f1": 1.0,
        "support": 1,
    } in (figures["classes"])
    assert errors.read_text().splitlines()[1] == "4\tpolarity\tnegated\taffirmed\t\tgout\tHe has gout."


def test_command_refuses_with_the_line(tmp_path: Path) -> None:
    data = tmp_path / "rows.tsv"
    data.write_bytes(HEADER.encode() + b"caf\xe9\t0\t4\t\t\t\t\n")
    done = CliRunner().invoke(app, ["evaluate", "assertion", "--data", str(data)])
    assert (done.exit_code, f"{data} line 2: not UTF-8." in done.output) == (1, True)


@pytest.mark.parametrize(
    ("name", "sentences", "least"),
    [("assertion_development.tsv", 400, 0.97), ("assertion_final.tsv", 200, 0.88)],
)
def test_the_synthetic_sentences(name: str, sentences: int, least: float) -> None:
    """They are many, of every phenomenon, and judged as well as the documentation says."""
    rows = read_judged(PACKAGED / name)
    assert len({row.text for row in rows}) >= sentences
    assert len({row.extra["phenomenon"] for row in rows}) >= 13
    assert min(counts.f1 for counts in evaluate(ContextRules(), rows).classes.values()) >= least


SENTENCE = ScopedSentence(
    "7",
    "No fever was recorded but cough may persist.",
    (
        ScopedCue("negation", (Span(0, 2),), Span(0, 21)),
        ScopedCue("speculation", (Span(32, 35),), Span(26, 43)),
    ),
)


def test_scope_scores_count_cues_and_tokens() -> None:
    found = [
        ScopedCue("negation", (Span(0, 2),), Span(0, 8)),
        ScopedCue("negation", (Span(22, 25),), Span(22, 31)),
    ]
    scores = compare(SENTENCE.text, [SENTENCE.cues[0]], found)
    assert (scores.cues.right, scores.cues.wrong, scores.cues.missed) == (1, 1, 0)
    assert (scores.tokens.right, scores.tokens.wrong, scores.tokens.missed) == (2, 2, 2)


def test_mentions_derived_from_scopes() -> None:
    rows = list(derived_mentions([SENTENCE]))
    assert [(row.text[row.start : row.end], row.values) for row in rows] == [
        ("recorded", {"polarity": "negated", "certainty": "certain"})
    ]


def test_documents_are_held_out_whole_and_always_the_same() -> None:
    sentences = [ScopedSentence(str(number // 3), "Text.", ()) for number in range(3000)]
    develop, held_out = split(sentences)
    assert not {s.document for s in develop} & {s.document for s in held_out}
    assert 500 < len(held_out) < 700
    assert [is_held_out(str(number)) for number in range(12)].count(True) == len(
        {s.document for s in held_out if int(s.document) < 12}
    )


def test_bioscope_is_read(tmp_path: Path) -> None:
    annotations = [
        {"tag": "cue", "type": "negation", "id": "1", "span": [0, 2], "text": "No"},
        {"tag": "xcope", "type": None, "id": "1", "span": [0, 21], "text": "No fever was recorded"},
    ]
    path = tmp_path / "bioscope.jsonl.gz"
    path.write_bytes(
        gzip.compress(json.dumps({"doc": "7", "text": SENTENCE.text, "ann": annotations}).encode())
    )
    assert read_bioscope(path) == [ScopedSentence("7", SENTENCE.text, SENTENCE.cues[:1])]
    path.write_bytes(b"no gzip")
    with pytest.raises(Invalid):
        read_bioscope(path)

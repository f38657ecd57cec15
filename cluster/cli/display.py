"""Documents and search results for people: coloured on a terminal, plain elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from domain.text import MentionType

Json = Mapping[str, Any]

EXCERPT = 220
"""Characters of a passage that are shown."""
MARKERS = {"affirmed": ("✓", "green"), "negated": ("✗", "red"), "uncertain": ("?", "yellow")}
_BLANKS = re.compile(r"\s+")
OTHER_MARKER = ("~", "cyan")
"""Historical, family and hypothetical mentions: said, but not of this patient now."""


def document_table(document: Json) -> Table:
    """One document's metadata and where it stands."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in _document_rows(document):
        if value not in (None, "", [], "none"):
            table.add_row(name, Text(str(value)))
    return table


def outcome_line(document: Json) -> Text:
    """`indexed`, `processing annotate 40 %`, or `rejected: why. What to do.`"""
    status = document["status"]
    reason = document.get("reason")
    if reason:
        return Text(f"{status}: {reason['message']} {reason['action']}", style="red")
    if status == "processing":
        return Text(
            f"{status} {document.get('stage') or ''} {round(100 * (document.get('progress') or 0))} %"
        )
    return Text(status, style="green" if status == "indexed" else "")


def search_results(answer: Json, console: Console, concepts: Iterable[str] = ()) -> Group:
    """All hits with their best passages, then the facets, then how to get the next page.

    `concepts` are those that the query filtered by: their mentions are shown even where no word matched.
    """
    return Group(*_result_parts(answer, console.is_terminal, frozenset(concepts)))


def _result_parts(answer: Json, colour: bool, concepts: frozenset[str]) -> Iterator[RenderableType]:
    total = answer["total"]["value"]
    yield Text(f"{total} document{'' if total == 1 else 's'} in {answer['took_ms']} ms")
    if answer.get("degraded"):
        yield Text(f"Incomplete: search by {', '.join(answer['degraded'])} did not answer.", style="yellow")
    for rank, hit in enumerate(answer["hits"], 1):
        yield from (Text(""), Text.assemble(f"{rank:>2}  ", (hit["title"], "bold")))
        yield from (Padding(part, (0, 0, 0, 4), expand=False) for part in _hit_parts(hit, colour, concepts))
    for name, values in (answer.get("facets") or {}).items():
        yield from (Text(""), _facet(name, values))
    if answer.get("next_cursor"):
        yield Text(
            f"\n{len(answer['hits'])} are shown."
            " For more: a larger --limit, or --cursor with the next_cursor that --json prints."
        )


def _hit_parts(hit: Json, colour: bool, concepts: frozenset[str]) -> Iterator[RenderableType]:
    about = (hit["document_type"], hit["document_date"], hit["patient"], hit["document_id"])
    yield Text("  ".join(str(part) for part in about if part), style="dim")
    passages = hit["passages"]
    matching = [passage for passage in passages if passage["highlights"] or _telling(passage, concepts)]
    for passage in matching or passages[:1]:
        place = f"page {passage['page']}" + (f", {passage['section']}" if passage.get("section") else "")
        yield Text.assemble((f"{place}: ", "dim"), excerpt(passage, colour))
        yield from (_assertion(mention) for mention in _telling(passage, concepts))
    if hit.get("explanation"):
        yield Text(_explained(hit["explanation"]), style="dim")


def entity_table(mentions: Iterable[Json]) -> RenderableType:
    """A line for each thing that a document says, by type, in the order of the text; `x 3` if it says it thrice."""
    counted: dict[tuple[str, ...], int] = {}
    for mention in mentions:
        cue = (mention.get("cue") or {}).get("text", "")
        meaning = "  ".join(filter(None, (mention["concept"], mention["label"])))
        label = mention["assertion"]
        said = f"{label}, negated" if mention["polarity"] == "negated" != label else label
        said = f"{said} ({_flat(cue)})" if cue else said
        key = (mention["type"], _flat(mention["text"]), said, meaning)
        counted[key] = counted.get(key, 0) + 1
    if not counted:
        return Text("Nothing was recognised.")
    order = {kind.value: place for place, kind in enumerate(MentionType)}
    table = Table("type", "mention", "assertion", "concept", box=None, padding=(0, 2, 0, 0))
    for (kind, *rest), count in sorted(counted.items(), key=lambda one: order.get(one[0][0], len(order))):
        text, said, meaning = rest
        table.add_row(kind, Text(f"{text} x {count}" if count > 1 else text), Text(said), Text(meaning))
    return table


def excerpt(passage: Json, colour: bool) -> Text:
    """The part of the passage around its first highlight; highlights are coloured or in [brackets]."""
    offset, words = passage["start"], passage["text"]
    marks = [(mark["start"] - offset, mark["end"] - offset) for mark in passage["highlights"]]
    start, end = _window(words, marks[0][0] if marks else 0)
    text, position = Text("…" if start else ""), start
    for mark_start, mark_end in marks:
        if position <= mark_start and mark_end <= end:
            text.append(_flat(words[position:mark_start]))
            word = words[mark_start:mark_end]
            text.append(_flat(word if colour else f"[{word}]"), style="bold yellow")
            position = mark_end
    text.append(_flat(words[position:end]) + ("…" if end < len(words) else ""))
    return text


def _window(words: str, first: int) -> tuple[int, int]:
    """Whole words, `EXCERPT` characters, a third of them before `first`."""
    start = max(0, min(first - EXCERPT // 3, len(words) - EXCERPT))
    end = min(len(words), start + EXCERPT)
    while 0 < start < first and not words[start - 1].isspace():
        start += 1
    while end < len(words) and not words[end].isspace():
        end += 1
    return start, end


def _flat(words: str) -> str:
    """In one line, with single blanks."""
    return _BLANKS.sub(" ", words)


def _telling(passage: Json, concepts: frozenset[str]) -> list[Json]:
    """The mentions that matched: under a highlight or of an asked concept; each statement once."""
    found: dict[tuple[str, str, str], Json] = {}
    for mention in passage["mentions"]:
        marked = any(
            mark["start"] < mention["end"] and mention["start"] < mark["end"]
            for mark in passage["highlights"]
        )
        if marked or mention["concept"] in concepts:
            cue = (mention.get("cue") or {}).get("text", "")
            found.setdefault((str(mention["concept"]), mention["assertion"], cue.lower()), mention)
    return list(found.values())


def _assertion(mention: Json) -> Text:
    marker, style = MARKERS.get(mention["assertion"], OTHER_MARKER)
    cue = mention.get("cue")
    because = f" (cue: {_flat(cue['text'])})" if cue else ""
    meaning = "  ".join(part for part in (mention.get("concept"), mention.get("label")) if part)
    return Text(
        f"  {marker} {mention['assertion']}{because}  {_flat(mention['text'])}  {meaning}", style=style
    )


def _explained(explanation: Json) -> str:
    legs = [
        f"{leg} rank {explanation[leg]['rank']} score {explanation[leg]['score']:.2f}"
        for leg in ("lexical", "semantic")
        if explanation.get(leg)
    ]
    matched = [
        f"{kind} {', '.join(explanation[kind])}" for kind in ("terms", "concepts") if explanation.get(kind)
    ]
    factor = explanation.get("assertion", 1)
    return "why: " + "; ".join(
        [*legs, *matched, *([f"assertion factor {factor:.2f}"] if factor != 1 else [])]
    )


def _facet(name: str, values: Iterable[Json]) -> Table:
    table = Table(
        title=name,
        title_justify="left",
        title_style="bold",
        box=None,
        show_header=False,
        padding=(0, 2, 0, 0),
    )
    for value in values:
        table.add_row(
            str(value["count"]),
            str(value["value"]),
            str(value.get("label") or ""),
            str(value.get("assertion") or ""),
        )
    return table


def _document_rows(document: Json) -> Iterator[tuple[str, Any]]:
    yield "id", document["id"]
    yield "status", outcome_line(document)
    if document.get("eta_seconds") is not None:
        yield "ready in about", f"{document['eta_seconds']} s"
    if document.get("failures"):
        yield "failures", document["failures"]
    for name in (
        "title",
        "filename",
        "document_type",
        "document_date",
        "patient",
        "department",
        "sensitivity",
    ):
        yield name.removeprefix("document_"), document.get(name)
    yield "version", document["version"]
    yield "bytes", document.get("bytes")
    yield "pages", document.get("pages")
    yield "unreadable pages", ", ".join(map(str, document.get("unreadable_pages") or ()))
    yield "warnings", ", ".join(document.get("warnings") or ())
    yield "uploaded", document.get("created_at")

"""`/api/v1/search` over HTTP, real stores and both indexes: shape, refusals, access, audit, no leaks."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from cluster.databases import OWNER
from config.secrets import SecretStore
from config.settings import Settings
from domain.ids import new_id
from domain.text import AssertionLabel
from stores.audit import opened
from stores.keyring import SecretKeys
from stores.ports import Sealed
from stores.postgres import connect, database
from stores.visibility import Visible
from tests.contract.search.http_world import Searcher, SearchWorld
from tests.search_world import PNEUMONIA, document, mention

MODES = ["lexical", "semantic", "hybrid"]
NEGATED = AssertionLabel.NEGATED
FACETS = ["concept", "document_type", "department", "year", "section"]


def ids(*answers: dict[str, Any]) -> list[UUID]:
    return [UUID(hit["document_id"]) for answer in answers for hit in answer["hits"]]


async def test_an_answer_has_the_documented_shape(world: SearchWorld) -> None:
    anna = world.searcher()
    text = "No evidence of pneumonia in either lung"
    denied = mention(text, "pneumonia", PNEUMONIA, NEGATED)
    (found,) = await world.put(
        document(
            text,
            title="Chest film",
            mentions=[denied],
            access=[anna.me],
            section="impression",
            kind="radiology",
        )
    )
    answer = await anna.search("pneumonia", facets=["concept", "year"], explain=True)
    assert answer["total"] == {"value": 1, "relation": "eq"}
    assert (answer["mode"], answer["degraded"], answer["next_cursor"]) == ("hybrid", [], None)
    (hit,) = answer["hits"]
    assert hit["passages"] == [
        {
            "page": 1,
            "section": "impression",
            "start": 0,
            "end": len(text),
            "text": text,
            "highlights": [{"start": 15, "end": 24}],
            "mentions": [
                {
                    "start": 15,
                    "end": 24,
                    "text": "pneumonia",
                    "type": "problem",
                    "concept": PNEUMONIA,
                    "codes": [PNEUMONIA],
                    "label": f"Label of {PNEUMONIA}",
                    "assertion": "negated",
                    "cue": {"start": 0, "end": 2, "text": "No"},
                }
            ],
        }
    ]
    assert hit["explanation"] == {
        "lexical": {"rank": 1, "score": 1.0},
        "semantic": {"rank": 1, "score": 1.0},
        "fusion": {"method": "minmax", "weights": [0.5, 0.5]},
        "terms": ["pneumonia"],
        "concepts": [PNEUMONIA],
        "assertion": 0.5,
    }
    assert {key: hit[key] for key in ("document_id", "title", "document_type", "document_date", "score")} == {
        "document_id": str(found),
        "title": "Chest film",
        "document_type": "radiology",
        "document_date": "2024-05-01",
        "score": 0.5,
    }
    assert answer["facets"] == {
        "concept": [
            {"value": PNEUMONIA, "label": f"Label of {PNEUMONIA}", "assertion": "negated", "count": 1}
        ],
        "year": [{"value": "2024", "label": None, "assertion": None, "count": 1}],
    }
    assert UUID(answer["search_id"]).version == 7


async def test_filters_hold_in_both_legs(world: SearchWorld) -> None:
    anna = world.searcher()
    yes, no = "Pneumonia of the left lung", "No pneumonia of the left lung"
    affirmed, denied = await world.put(
        document(
            yes,
            mentions=[mention(yes, "Pneumonia", PNEUMONIA)],
            access=[anna.me],
            section="impression",
            kind="radiology",
            day=date(2021, 3, 4),
            patient="H|1",
            department="icu",
        ),
        document(no, mentions=[mention(no, "pneumonia", PNEUMONIA, NEGATED)], access=[anna.me]),
    )
    expected: list[tuple[dict[str, Any], set[UUID]]] = [
        ({"entities": [{"concept": PNEUMONIA}]}, {affirmed, denied}),
        ({"entities": [{"concept": PNEUMONIA, "assertion": ["affirmed"]}]}, {affirmed}),
        ({"entities": [{"concept": PNEUMONIA, "assertion": ["negated", "family"]}]}, {denied}),
        ({"document_type": ["radiology", "article"]}, {affirmed}),
        ({"department": ["icu"]}, {affirmed}),
        ({"patient": "H|1"}, {affirmed}),
        ({"date": {"from": "2021-03-04", "to": "2021-03-04"}}, {affirmed}),
        ({"date": {"from": "2021-03-05"}}, {denied}),
        ({"date": {"from": "0001-01-01", "to": "9999-12-31"}}, {affirmed, denied}),
        ({"section": ["impression"]}, {affirmed}),
    ]
    for filters, found in expected:
        for mode in MODES:
            answer = await anna.search("left lung", mode=mode, filters=filters)
            assert (set(ids(answer)), answer["total"]["value"]) == (found, len(found)), (filters, mode)


@pytest.mark.parametrize("mode", MODES)
async def test_pages_are_stable_and_complete(world: SearchWorld, mode: str) -> None:
    anna = world.searcher()
    known = await world.put(*(document(f"fever word{n}", access=[anna.me]) for n in range(13)))
    answers = await anna.pages("fever", mode=mode, limit=4)
    assert [len(answer["hits"]) for answer in answers] == [4, 4, 4, 1]
    assert sorted(ids(*answers)) == sorted(known)


async def test_sorted_pages(world: SearchWorld) -> None:
    anna = world.searcher()
    days = [date(2020, 1, n) for n in range(1, 8)]
    known = await world.put(*(document("fever", day=day, access=[anna.me]) for day in days))
    assert ids(*await anna.pages("fever", sort="newest", limit=3)) == known[::-1]
    assert ids(*await anna.pages("", sort="oldest", limit=2)) == known


@pytest.mark.parametrize("mode", MODES)
async def test_a_foreign_or_ended_cursor_is_gone(
    world: SearchWorld, owner: asyncpg.Connection, mode: str
) -> None:
    anna, bert = world.searcher(), world.searcher()
    await world.put(*(document("fever", access=[anna.me, bert.me]) for _ in range(3)))
    cursor = (await anna.search("fever", mode=mode, limit=1))["next_cursor"]
    for searcher, body in ((bert, {"query": "fever"}), (anna, {"query": "cough"})):
        status, problem = await searcher.refused(**body, mode=mode, cursor=cursor)
        assert (status, problem["code"]) == (410, "cursor.gone")
    await owner.execute("UPDATE search_window SET expires_at = now() - interval '1 second'")
    if mode != "lexical":
        status, problem = await anna.refused(query="fever", mode=mode, cursor=cursor)
        assert (status, problem["code"]) == (410, "search.cursor_expired")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "x" * 1_001}, "search.query_too_long"),
        ({"query": "x" * 100_000}, "request.invalid"),
        ({"query": " ".join(f"w{n}" for n in range(65))}, "search.too_many_clauses"),
        ({"query": "a", "mode": "semantic", "sort": "title"}, "search.sort_not_possible"),
        ({"query": "a", "surprise": 1}, "request.invalid"),
        ({"query": "a", "filters": {"tenant": "x"}}, "request.invalid"),
        ({"query": 7}, "request.invalid"),
        ({"query": "a", "limit": 0}, "request.invalid"),
        ({"query": "a", "limit": 101}, "request.invalid"),
        ({"query": "a", "mode": "fuzzy"}, "request.invalid"),
        ({"query": "a", "facets": ["access"]}, "request.invalid"),
        ({"query": "a", "filters": {"document_type": ["diary"]}}, "request.invalid"),
        ({"query": "a", "filters": {"section": ["nowhere"]}}, "request.invalid"),
        ({"query": "a", "filters": {"entities": [{"concept": "x' OR 1=1"}]}}, "request.invalid"),
        ({"query": "a", "filters": {"date": {"from": "2024-02-02", "to": "2024-01-01"}}}, "request.invalid"),
    ],
)
async def test_what_is_wrong_is_refused_with_a_code(
    world: SearchWorld, body: dict[str, Any], code: str
) -> None:
    status, problem = await world.searcher().refused(**body)
    assert (status, problem["code"]) == (422, code)


NAUGHTY = [
    '"',
    "AND OR NOT",
    "x*~^\\/[]{}:",
    "<script>alert(1)</script>",
    "access:user",
    "_id:*",
    "(((((",
    "\U0001f637 \u202e \ufdfd",
    "-" * 999,
]


@pytest.mark.parametrize("query", NAUGHTY)
async def test_no_text_is_too_naughty(world: SearchWorld, query: str) -> None:
    anna = world.searcher()
    await world.put(document("fever", access=[anna.me]))
    for mode in MODES:
        assert (await anna.search(query, mode=mode))["hits"] == []


async def test_the_simple_case(world: SearchWorld) -> None:
    anna = world.searcher()
    known = await world.put(*(document("fever", access=[anna.me]) for _ in range(3)))
    first = (await anna.client.get("/api/v1/search", params={"q": "fever", "limit": 2})).json()
    more = {"q": "fever", "limit": 2, "cursor": first["next_cursor"]}
    second = (await anna.client.get("/api/v1/search", params=more)).json()
    assert sorted(ids(first, second)) == sorted(known)
    wrong = await anna.client.get("/api/v1/search", params={"q": "fever", "tenant": "x"})
    assert wrong.status_code == 422


async def test_who_may_not_search(world: SearchWorld) -> None:
    assert (await world.stranger().post("/api/v1/search", json={"query": "x"})).status_code == 401
    for role in ("privacy_officer", "admin", "department_admin"):
        status, problem = await world.searcher(role).refused(query="x")
        assert (status, problem["code"]) == (403, "access.forbidden")


@pytest.mark.parametrize("mode", MODES)
async def test_a_revocation_holds_before_the_index_follows(world: SearchWorld, mode: str) -> None:
    anna = world.searcher()
    deleted, withdrawn, replaced, kept = await world.put(
        *(document(f"fever word{n}", access=[anna.me]) for n in range(4))
    )
    first = await anna.search("fever", mode=mode, limit=1)
    await world.visibility.raise_to(
        [
            Visible(deleted, 1, 2, (anna.me,), deleted=True),
            Visible(withdrawn, 1, 2, ("user:somebody",)),
            Visible(replaced, 2, 2, (anna.me,)),
        ]
    )
    later = await anna.search("fever", mode=mode, cursor=first["next_cursor"])
    assert set(ids(later)) <= {kept}
    again = await anna.search("fever", mode=mode)
    assert (ids(again), again["total"]["value"]) == ([kept], 1)


async def test_au3_search_is_audited_encrypted_before_the_answer(
    world: SearchWorld, settings: Settings, secrets: SecretStore
) -> None:
    anna = world.searcher()
    known = await world.put(document("fever", access=[anna.me]), document("fever too", access=[anna.me]))
    answer = await anna.search("fever", filters={"document_type": ["clinic_note"]})
    trail = await connect(database(settings, "audit", OWNER), secrets)
    row = await trail.fetchrow("SELECT * FROM audit_record WHERE actor = $1", anna.me)
    await trail.close()
    assert row is not None
    assert (row["event"], row["action"], row["outcome"]) == ("search.performed", "E", "success")
    assert row["document_ids"] == ids(answer)
    assert set(row["document_ids"]) == set(known)
    assert b"fever" not in row["sealed"]
    keys = SecretKeys.of(settings, secrets)
    query, names = opened(keys, row["id"], Sealed(row["sealed"], row["nonce"], row["key_name"]))
    assert query == "fever"
    assert json.loads(names["request"])["filters"] == {"document_type": ["clinic_note"]}


async def test_au4_without_audit_or_meaning(world: SearchWorld, owner: asyncpg.Connection) -> None:
    anna = world.searcher()
    await world.put(document("fever", access=[anna.me]))
    world.encoder.away = True
    status, problem = await anna.refused(query="fever", mode="semantic")
    assert (status, problem["code"]) == (503, "search.semantic_unavailable")
    assert (await anna.search("fever"))["degraded"] == ["semantic"]
    events = await owner.fetchval("SELECT count(*) FROM outbox")
    world.audit.away = True
    answer = await anna.client.post("/api/v1/search", json={"query": "fever"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "hits" not in answer.json()
    assert await owner.fetchval("SELECT count(*) FROM outbox") == events == 1


async def test_the_event_waits_in_the_outbox_without_words(
    world: SearchWorld, owner: asyncpg.Connection
) -> None:
    anna = world.searcher()
    await world.put(*(document("fever secretword", access=[anna.me]) for _ in range(2)))
    answer = await anna.search("secretword", limit=1)
    body = await owner.fetchval("SELECT body FROM outbox")
    assert body["data"]["search_id"] == answer["search_id"]
    assert "secretword" not in json.dumps(body)
    entries = await owner.fetchval("SELECT entries FROM search_window")
    assert b"secret" not in entries


QUERIES = ["fever", "fever cough", "fever -rash", '"dry cough"', "pneumonia", "lung fever cough chills", ""]


@pytest.mark.parametrize("mode", MODES)
async def test_ac8_search_residual_is_order_only(world: SearchWorld, mode: str) -> None:
    """What a hidden document changes: order and scores, by the words' frequencies (docs/search.md), nothing else."""
    anna, bert = world.searcher(), world.searcher()
    said = "fever with dry cough and pneumonia"
    texts = [said, "fever", "dry cough", "fever and rash", "cough or fever at night", "ankle", "lung"]
    known = [mention(said, "pneumonia", PNEUMONIA)]
    await world.put(
        *(document(text, mentions=known if text is said else (), access=[anna.me]) for text in texts)
    )
    before = [await everything(anna, query, mode) for query in QUERIES]
    hidden = [
        document(said, mentions=known, access=[bert.me], kind="radiology", department=f"d{n}")
        for n in range(6)
    ]
    put = await world.put(*hidden)
    assert [await everything(anna, query, mode) for query in QUERIES] == before
    seen = [answer for query in QUERIES for answer in await anna.pages(query, mode=mode, limit=3)]
    assert not set(put) & set(ids(*seen))
    assert len(ids(*await bert.pages("fever", mode=mode, limit=2))) == 6


async def everything(searcher: Searcher, query: str, mode: str) -> Any:
    """All that a caller can learn of a query, but for order, scores, ids of searches and times."""
    answers = await searcher.pages(query, mode=mode, limit=3, facets=FACETS, explain=True)
    hits = [
        {key: value for key, value in hit.items() if key not in ("score", "explanation")}
        | {key: hit["explanation"][key] for key in ("terms", "concepts", "assertion")}
        for answer in answers
        for hit in answer["hits"]
    ]
    told = [
        {key: answer[key] for key in ("total", "facets", "facets_scope", "mode", "legs", "degraded")}
        | {"hits": len(answer["hits"]), "more": answer["next_cursor"] is not None}
        for answer in answers
    ]
    return sorted(hits, key=lambda hit: hit["document_id"]), told


async def test_ac8_somebody_elses_document_is_in_no_number(world: SearchWorld) -> None:
    await world.put(document("fever", access=[f"user:{new_id()}"]))
    nobody = world.searcher("patient")
    answer = await nobody.search("fever", facets=FACETS)
    assert answer["total"]["value"] == 0
    assert not any(answer["facets"].values())

"""Each answer is audited with what it showed, and published without a word of the question."""

from __future__ import annotations

from datetime import date

import pytest

from domain.errors import Unavailable
from tests.search_world import World, document
from tests.unit.search.asking import asked, every_page, ids


class TestAudit:
    async def test_each_answer_is_audited_with_query_and_ids(self, world: World) -> None:
        known = await world.put(*(document("fever") for _ in range(3)))
        answers = await every_page(world, "fever -rash", limit=2, filters={"document_type": ["clinic_note"]})
        assert [list(entry.document_ids) for entry in world.audit.entries] == [ids(one) for one in answers]
        assert sorted(ids(*answers)) == sorted(known)
        entry = world.audit.entries[0]
        assert (entry.event, entry.action, entry.outcome, entry.query) == (
            "search.performed",
            "E",
            "success",
            "fever -rash",
        )
        assert "clinic_note" in entry.names["request"]

    async def test_each_answer_is_audited_with_the_patients_that_it_showed(self, world: World) -> None:
        patients = ("LAB|1", "LAB|2", "LAB|1", None)
        for number, patient in enumerate(patients):
            await world.put(document("fever", patient=patient, day=date(2024, 1, 1 + number)))
        await every_page(world, "fever", limit=2, sort="oldest")
        first, second = (entry.patients for entry in world.audit.entries[:2])
        assert (first, second) == (("LAB|1", "LAB|2"), ("LAB|1",))

    async def test_without_audit_there_is_no_answer(self, world: World) -> None:
        await world.put(document("fever"), document("fever"))
        world.audit.away = True
        with pytest.raises(Unavailable):
            await asked(world, "fever", limit=1)
        assert world.windows.events == []
        assert world.windows.windows == {}

    async def test_the_event_tells_no_words(self, world: World) -> None:
        await world.put(document("fever"))
        answer = await asked(world, "fever", filters={"patient": None})
        (event,) = world.windows.events
        assert event.type == "search.performed"
        assert event.subject == str(answer.search_id)
        assert set(event.data) == {"search_id", "user_id", "mode", "hits", "took_ms"}
        assert event.data["hits"] == 1
        assert "fever" not in str(event.to_cloudevent())

"""The stages as functions from inputs to artefacts and facts; what breaks a model is a value."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from actors.embedders import Embedders
from actors.stages import BULK_NICENESS, MAX_MENTIONS, MAX_PASSAGES, StageResult, Stages
from domain.errors import Unavailable
from domain.jobs import Failure, Lane, Stage
from domain.search import Generation
from domain.text import Annotation, Extraction, Mention, MentionType, Page, Passage
from models.artefacts import (
    dump_annotation,
    dump_extraction,
    load_annotation,
    load_extraction,
    load_vectors,
)
from models.extraction import rejection
from tests.unit.actors.doubles import MemoryBlobs, lease

TEXT = "Kein Fieber. Pneumonia ruled out."


class Parser:
    """Answers what was laid out, and remembers the attempts."""

    def __init__(self, outcome: Extraction | Failure) -> None:
        self.outcome = outcome
        self.attempts: list[int] = []

    async def parse(self, path: Path, *, attempt: int) -> Extraction | Failure:
        self.attempts.append(attempt)
        return self.outcome


class Annotator:
    def annotate(self, extraction: Extraction) -> Annotation:
        text = extraction.pages[0].text
        return Annotation((), (Passage(0, 1, 0, len(text), None, text),), (), ("rules@1",))


class Embedder:
    name = "encoder@1"
    batch = 2

    def embed(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), 3), dtype=np.float32)


class Broken:
    name = "broken@1"
    batch = 2

    def annotate(self, _: Extraction) -> Annotation:
        raise ValueError(TEXT)

    def embed(self, _: list[str]) -> np.ndarray:
        raise RuntimeError(TEXT)


def embedders(load) -> Embedders:
    """Of an index without a generation yet."""

    async def none() -> list[Generation]:
        return []

    return Embedders(none, lambda _: load())


class Bench:
    def __init__(
        self, outcome: Extraction | Failure | None = None, annotator=Annotator, embedder=Embedder
    ) -> None:
        self.blobs = MemoryBlobs()
        self.parser = Parser(outcome or Extraction("text/plain", (Page(1, TEXT),), (), ("w",), "plain@1"))
        self.loaded: list[str] = []
        self.stages = Stages(
            self.blobs,
            self.parser,
            self._loader("annotator", annotator),
            embedders(self._loader("embedder", embedder)),
        )

    def _loader(self, name, made):
        def load():
            self.loaded.append(name)
            return made()

        return load

    async def run_all(self):
        """Every stage after the other, as the worker does; their results."""
        await self.blobs.put("originals/x", b"bytes")
        artefacts: dict[str, str] = {}
        results = []
        for stage in (Stage.EXTRACT, Stage.ANNOTATE, Stage.EMBED):
            result = await self.stages.run(lease(stage, blob_key="originals/x", artefacts=dict(artefacts)))
            results.append(result)
            if isinstance(result, Failure):
                break
            artefacts[stage.value] = f"artefacts/{stage}"
            await self.blobs.put(artefacts[stage.value], result.content)
        return results


async def test_from_bytes_to_vectors():
    extract, annotate, embed = await Bench().run_all()
    assert load_extraction(extract.content).pages[0].text == TEXT
    assert load_annotation(annotate.content).passages[0].text == TEXT
    assert load_vectors(embed.content, encoder="encoder@1").shape == (1, 3)


async def test_facts_say_what_operators_need_and_no_text():
    results = await Bench().run_all()
    assert results[0].facts == {
        "media_type": "text/plain",
        "pages": 1,
        "unreadable_pages": (),
        "warnings": ("w",),
        "parser": "plain@1",
    }
    assert results[1].facts == {"passages": 1, "models": ["rules@1"]}
    assert results[2].facts == {"models": ["rules@1", "encoder@1"]}
    assert "Fieber" not in repr([result.facts for result in results])


async def test_an_online_document_does_not_wait_for_a_bulk_one():
    going_on = threading.Event()

    class Waiting(Annotator):
        def annotate(self, extraction: Extraction) -> Annotation:
            if extraction.pages[0].text == "long":
                assert going_on.wait(30)
            return super().annotate(extraction)

    bench = Bench(annotator=Waiting)
    for text in ("long", "short"):
        content = dump_extraction(Extraction("text/plain", (Page(1, text),), (), (), "p@1"))
        await bench.blobs.put(text, content)
    long = asyncio.create_task(
        bench.stages.run(lease(Stage.ANNOTATE, lane=Lane.BULK, artefacts={"extract": "long"}))
    )
    await asyncio.sleep(0)
    short = await bench.stages.run(lease(Stage.ANNOTATE, lane=Lane.ONLINE, artefacts={"extract": "short"}))
    assert isinstance(short, StageResult)
    assert not long.done()
    going_on.set()
    assert isinstance(await long, StageResult)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
async def test_the_bulk_lane_gives_way():
    found: dict[Lane, int] = {}

    class Looking(Annotator):
        def annotate(self, extraction: Extraction) -> Annotation:
            found[Lane(extraction.pages[0].text)] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
            return super().annotate(extraction)

    bench = Bench(annotator=Looking)
    for lane in Lane:
        content = dump_extraction(Extraction("text/plain", (Page(1, lane.value),), (), (), "p@1"))
        await bench.blobs.put(lane.value, content)
        await bench.stages.run(lease(Stage.ANNOTATE, lane=lane, artefacts={"extract": lane.value}))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert found == {Lane.ONLINE: own, Lane.BULK: max(own, BULK_NICENESS)}


async def test_two_lanes_at_once_load_a_model_once():
    loading: list[int] = []

    def load() -> Annotator:
        loading.append(threading.get_native_id())
        time.sleep(0.05)
        return Annotator()

    stages = Stages(MemoryBlobs(), Parser(Failure("x", "")), load, embedders(Embedder))
    await asyncio.gather(*(stages._in_thread(lane, stages._annotator) for lane in Lane))
    assert len(loading) == 1


async def test_the_vectors_stand_in_the_order_of_the_passages():
    done: list[str] = []

    class Noting(Embedder):
        def embed(self, texts: list[str]) -> np.ndarray:
            done.extend(texts)
            return np.array([[len(text), 0, 1] for text in texts], dtype=np.float32)

    bench = Bench(embedder=Noting)
    texts = ["a", "ccc", "eeeee", "bb", "dddd"]
    passages = tuple(Passage(n, 1, 0, len(text), None, text) for n, text in enumerate(texts))
    await bench.blobs.put("long", dump_annotation(Annotation((), passages, (), ("rules@1",))))
    embedded = await bench.stages.run(lease(Stage.EMBED, artefacts={"annotate": "long"}))
    assert isinstance(embedded, StageResult)
    assert done == ["eeeee", "dddd", "ccc", "bb", "a"]
    vectors = load_vectors(embedded.content, encoder="encoder@1")
    assert [round(vector[0] / vector[2]) for vector in vectors] == [len(text) for text in texts]


@pytest.mark.parametrize(
    ("stages", "loaded"),
    [
        ([Stage.EXTRACT], []),
        ([Stage.EXTRACT, Stage.ANNOTATE], ["annotator"]),
        ([Stage.EXTRACT, Stage.ANNOTATE, Stage.EMBED], ["annotator", "embedder"]),
    ],
)
async def test_models_are_loaded_once_before_the_first_document_and_only_those_needed(stages, loaded):
    bench = Bench()
    assert bench.loaded == []
    await bench.stages.load(stages)
    assert bench.loaded == loaded
    await bench.run_all()
    await bench.run_all()
    assert bench.loaded == ["annotator", "embedder"]


@pytest.mark.parametrize("trouble", [RuntimeError("CUDA error"), ValueError("config"), OSError("no file")])
async def test_a_model_that_cannot_be_loaded_is_no_documents_failure(trouble):
    def load():
        raise trouble

    stages = Stages(MemoryBlobs(), Parser(Failure("x", "")), Annotator, embedders(load))
    await stages.load([Stage.ANNOTATE])
    with pytest.raises(type(trouble)):
        await stages.load([Stage.EMBED])


async def test_the_parsers_failure_is_the_stages():
    rejected = Failure("encrypted", "password", final=True)
    assert await Bench(rejected).run_all() == [rejected]


async def test_the_parser_hears_which_attempt_it_is():
    bench = Bench()
    await bench.blobs.put("originals/x", b"bytes")
    await bench.stages.run(lease(attempt=2, blob_key="originals/x"))
    assert bench.parser.attempts == [2]


async def test_a_missing_original_is_said():
    outcome = await Bench().stages.run(lease(blob_key="originals/none"))
    assert isinstance(outcome, Failure)
    assert outcome.code == "original_missing"


@pytest.mark.parametrize("broken", ["annotator", "embedder"])
async def test_a_model_that_breaks_is_a_failure_without_the_text(broken, capsys):
    results = await Bench(**{broken: Broken}).run_all()
    assert isinstance(results[-1], Failure)
    assert results[-1].code == "model_failed"
    assert "Fieber" not in results[-1].message


@pytest.mark.parametrize("many", ["passages", "mentions"])
async def test_too_much_of_anything_is_a_rejection(many):
    class Talkative(Annotator):
        def annotate(self, extraction: Extraction) -> Annotation:
            passages = (Passage(0, 1, 0, 1, None, "x"),) * (MAX_PASSAGES + (many == "passages"))
            mentions = (Mention(1, 0, 1, "x", MentionType.SIGN),) * (MAX_MENTIONS + (many == "mentions"))
            return Annotation((), passages, mentions, ())

    results = await Bench(annotator=Talkative).run_all()
    assert results[-1] == rejection("too_large")


@pytest.mark.parametrize("key", ["damaged", "lost"])
@pytest.mark.parametrize("stage", [Stage.ANNOTATE, Stage.EMBED])
async def test_a_damaged_or_lost_artefact_is_told_from_a_model_that_breaks(stage, key):
    bench = Bench()
    await bench.blobs.put("damaged", b"nonsense")
    outcome = await bench.stages.run(lease(stage, artefacts={"extract": key, "annotate": key}))
    assert isinstance(outcome, Failure)
    assert outcome.code == "artefact_damaged"


async def test_storage_that_is_away_is_no_failure_of_the_document():
    bench = Bench()

    async def away(_: str) -> bytes:
        raise Unavailable("away")

    bench.blobs.read = away
    with pytest.raises(Unavailable):
        await bench.stages.run(lease(Stage.ANNOTATE, artefacts={"extract": "a"}))


async def test_the_last_stage_is_not_ours():
    with pytest.raises(ValueError, match="index writer"):
        await Bench().stages.run(lease(Stage.INDEX))

"""The encoder's adapter: a change that starts as none, that learns, and that is merged as it was learnt."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from config.settings import ModelSettings
from models.adaptation import adapt, attach, write
from models.embedding import TransformerEmbedder, load_embedder
from models.encoders import Adapter, Encoder, ModelUnavailable, locate, verify
from models.folders import digest
from models.pretrained import read_encoder
from models.training.embedding import (
    KEPT_BACK,
    Pair,
    Plan,
    Reader,
    Training,
    loss,
    neighbours,
    pairs,
    ranks,
)
from tests.tiny_encoder import DIMENSION, tiny_encoder

WORDS = ("fever", "cough", "stroke", "sepsis", "ulcer", "angina", "asthma", "gout")
LEARNING = [Pair(f"what is {word}", f"{word[::-1]} is an illness") for word in WORDS]
PLAN = Plan(rank=4, batch=4, epochs=8, rate=3e-3, warmup_steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def model_of(folder: Path) -> Any:
    return read_encoder(folder, torch.float32)


def training(folder: Path, run: Path, plan: Plan = PLAN) -> Training:
    torch.manual_seed(plan.seed)
    run.mkdir(exist_ok=True)
    return Training(run, plan, model_of(folder), folder / "tokenizer.json", {"toy": "1"})


def vectors(model: Any, folder: Path) -> np.ndarray:
    return Reader(model, folder / "tokenizer.json").all([pair.question for pair in LEARNING], 48)


def embedder(folder: Path, adapter: Adapter | None) -> TransformerEmbedder:
    encoder = Encoder("tiny@1", folder, DIMENSION, adapter=adapter)
    return TransformerEmbedder(encoder, device="cpu", threads=1, max_tokens=64)


class TestChange:
    def test_it_begins_as_none_and_learns_only_itself(self, folder: Path) -> None:
        model = model_of(folder)
        before = vectors(model, folder)
        changed = attach(model, rank=2)
        assert len(changed) == 6
        assert np.array_equal(vectors(model, folder), before)
        learning = {name for name, each in model.named_parameters() if each.requires_grad}
        assert learning == {f"{name}.{part}" for name in changed for part in ("up", "down")}

    def test_merged_it_is_what_was_learnt(self, folder: Path, tmp_path: Path) -> None:
        learnt = training(folder, tmp_path / "run")
        assert learnt.run(LEARNING)
        wanted = learnt.reader.all([pair.question for pair in LEARNING], 48)
        write(learnt.changed, tmp_path / "a.safetensors")
        model = model_of(folder)
        before = vectors(model, folder)
        adapt(model, tmp_path / "a.safetensors")
        merged = vectors(model, folder)
        assert np.abs(merged - wanted).max() < 5e-3 < np.abs(before - wanted).max()

    @pytest.mark.parametrize("content", ["absent", "text", "other layer", "other shape", "half"])
    def test_a_file_of_another_model_is_refused(self, folder: Path, tmp_path: Path, content: str) -> None:
        file, layer = tmp_path / "a.safetensors", "encoder.layer.0.attention.self.query"
        if content == "text":
            file.write_text("no tensors")
        elif content == "other layer":
            save_file({"layer.9.up": torch.zeros(2, 2), "layer.9.down": torch.zeros(2, 2)}, file)
        elif content == "other shape":
            save_file({f"{layer}.up": torch.zeros(2, 2), f"{layer}.down": torch.zeros(2, 2)}, file)
        elif content == "half":
            save_file({f"{layer}.up": torch.zeros(2, 2)}, file)
        with pytest.raises(ModelUnavailable, match="not one of this model"):
            adapt(model_of(folder), file)


class TestEmbedder:
    def test_it_reads_the_adapter(self, folder: Path, tmp_path: Path) -> None:
        learnt = training(folder, tmp_path / "run")
        learnt.run(LEARNING)
        write(learnt.changed, tmp_path / "a.safetensors")
        questions = [pair.question for pair in LEARNING]
        made = embedder(folder, Adapter(tmp_path / "a.safetensors", "")).embed(questions)
        assert np.abs(made - learnt.reader.all(questions, 48)).max() < 5e-3
        assert np.abs(made - embedder(folder, None).embed(questions)).max() > 5e-3

    def test_an_altered_adapter_is_refused(self, folder: Path, tmp_path: Path) -> None:
        file = tmp_path / "a.safetensors"
        save_file({"a": torch.zeros(1)}, file)
        own = Encoder("tiny@1", folder, DIMENSION, adapter=Adapter(file, str(digest(file))))
        assert verify(own) is own
        file.write_bytes(file.read_bytes() + b" ")
        with pytest.raises(ModelUnavailable, match=r"altered: a\.safetensors"):
            verify(own)
        with pytest.raises(ModelUnavailable, match=r"altered: absent"):
            verify(replace(own, adapter=Adapter(tmp_path / "absent", "0" * 64)))

    def test_the_shipped_one_is_whole_and_another_model(self) -> None:
        plain, medical = locate("minilm-l6"), locate("minilm-l6-medical")
        assert (medical.name, medical.dimension) == ("minilm-l6-medical@1.9bdd27e4", plain.dimension)
        text = ["Which drugs lower the blood pressure?"]
        ours = load_embedder(ModelSettings(encoder="minilm-l6-medical")).embed(text)
        assert float((ours @ load_embedder(ModelSettings(encoder="minilm-l6")).embed(text).T).item()) < 0.999


class TestTraining:
    def test_it_brings_questions_to_their_passages(self, folder: Path, tmp_path: Path) -> None:
        learnt = training(folder, tmp_path)
        with torch.no_grad():
            before = float(loss(learnt.reader, LEARNING, PLAN))
        assert learnt.run(LEARNING)
        with torch.no_grad():
            assert float(loss(learnt.reader, LEARNING, PLAN)) < before - 0.1

    def test_reciprocal_ranks_are_of_the_first_right_passage(self, folder: Path) -> None:
        reader = Reader(model_of(folder), folder / "tokenizer.json")
        sure = [Pair(word, word) for word in WORDS]
        assert ranks(reader, sure, ["something else"], PLAN) == 1
        assert ranks(reader, [Pair("fever", "gout")], ["fever"], PLAN) == 0.5
        assert ranks(reader, [Pair("fever", "gout"), Pair("fever", "fever")], [], PLAN) == 1

    def test_the_same_seed_learns_the_same(self, folder: Path, tmp_path: Path) -> None:
        one, other = training(folder, tmp_path / "one"), training(folder, tmp_path / "other")
        assert one.run(LEARNING)
        assert other.run(LEARNING)
        for name, layer in one.changed.items():
            assert torch.equal(layer.up, other.changed[name].up), name

    def test_stopped_and_started_again_it_learns_the_same(self, folder: Path, tmp_path: Path) -> None:
        whole = training(folder, tmp_path / "whole")
        assert whole.run(LEARNING)
        stopped = training(folder, tmp_path / "twice")
        stopped.stop()
        assert not stopped.run(LEARNING)
        assert stopped.step == 1
        again = training(folder, tmp_path / "twice")
        assert again.run(LEARNING)
        for name, layer in whole.changed.items():
            assert torch.equal(layer.up, again.changed[name].up), name

    def test_a_question_with_two_passages_is_no_mistake_of_either(self, folder: Path) -> None:
        reader = Reader(model_of(folder), folder / "tokenizer.json")
        twins = [Pair("what is fever", "one answer"), Pair("what is fever", "another answer")]
        with torch.no_grad():
            assert abs(float(loss(reader, twins, PLAN))) < 1e-5

    def test_batches_are_of_neighbours_and_take_everything_once(self) -> None:
        groups = np.repeat(np.eye(4, dtype=np.float32), 8, axis=0)
        batches = neighbours(groups, 8, random.Random(1))
        assert sorted(place for batch in batches for place in batch) == list(range(32))
        assert all(len({place // 8 for place in batch}) == 1 for batch in batches)

    @pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 33])
    def test_batches_of_any_number(self, count: int) -> None:
        batches = neighbours(np.ones((count, 3), dtype=np.float32), 8, random.Random(1))
        assert sorted(place for batch in batches for place in batch) == list(range(count))
        assert all(len(batch) <= 8 for batch in batches)

    def test_questions_kept_back_are_not_learnt(self, tmp_path: Path) -> None:
        medquad, bioasq = tmp_path / "retrieval/medquad_pairs", tmp_path / "retrieval/bioasq_snippets"
        (bioasq / "qrels").mkdir(parents=True)
        medquad.mkdir()
        rows = [{"question": f"What is {n} ?", "answer": f"What is {n} ? It is {n}."} for n in range(200)]
        with gzip.open(medquad / "pairs.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in [*rows, rows[0]])
        (bioasq / "corpus.jsonl").write_text('{"_id": "d", "title": "", "text": "A snippet."}\n')
        (bioasq / "queries.jsonl").write_text('{"_id": "q", "text": "A question?"}\n')
        (bioasq / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
        learning, kept = pairs(tmp_path)
        assert len(kept["medquad"]) < 4 * 200 / KEPT_BACK
        assert all(pair.passage == f"It is {pair.question[8:-2]}." for pair in kept["medquad"])
        assert not {pair.question for pair in learning} & {pair.question for pair in kept["bioasq"]}
        assert [*learning, *kept["bioasq"]] == [Pair("A question?", "A snippet.")]

    def test_vectors_stay_nearer_to_what_they_were_the_more_that_counts(
        self, folder: Path, tmp_path: Path
    ) -> None:
        def moved(anchor: float) -> float:
            learnt = training(folder, tmp_path / str(anchor), replace(PLAN, anchor=anchor))
            assert learnt.run(LEARNING)
            questions = [pair.question for pair in LEARNING]
            with torch.no_grad():
                own = learnt.reader(questions, 48)
                return float((1 - (own * learnt.reader.before(questions, 48)).sum(1)).mean())

        assert moved(100.0) < moved(0.0) / 2

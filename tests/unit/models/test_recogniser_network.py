"""The trained recogniser's parts on a small encoder: tags, chain, windows, partial labels, any input."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from config.settings import ModelSettings
from domain.text import Mention, MentionType, Page
from models.encoders import ModelUnavailable, locate
from models.evaluation.corpora import Labelled, LabelledText
from models.linking import Linker
from models.recognition.clinical import CARD, ClinicalRecogniser, load_clinical
from models.recognition.crf import LinearChain
from models.recognition.finder import SpanFinder, load_finder
from models.recognition.network import RecogniserNetwork, load_encoder
from models.recognition.tags import OUTSIDE, TAGS, TYPES, allowed_tags, spans_of, tag, transitions
from models.recognition.windows import TextEncoder, cut
from models.recognition.words import WordSplitter
from models.terminology import Vocabulary
from models.training.examples import Example, Plan, example
from models.training.recognition import Progress, Training
from models.training.shipping import FILE, ship

PROBLEM, DRUG = MentionType.PROBLEM, MentionType.DRUG
CPU = torch.device("cpu")


def small_network(seed: int = 0) -> RecogniserNetwork:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        attention_probs_dropout_prob=0.0,
    )
    return RecogniserNetwork(BertModel(config), dropout=0.0)


@pytest.fixture(scope="module")
def encoder(vocabulary: Vocabulary) -> TextEncoder:
    return TextEncoder(WordSplitter(locate("minilm-l6").folder / "tokenizer.json"), vocabulary)


@pytest.fixture(scope="module")
def finder(encoder: TextEncoder) -> SpanFinder:
    """Untrained, hence it finds mentions everywhere."""
    network = small_network(1)
    with torch.no_grad():
        network.emission.weight.mul_(20)
    return SpanFinder(network, encoder, CPU)


class TestTags:
    def test_what_is_allowed_is_what_spans_can_be(self) -> None:
        may = transitions()
        assert may[OUTSIDE, tag(PROBLEM, 0)]
        assert not may[OUTSIDE, tag(PROBLEM, 1)]
        assert may[tag(PROBLEM, 0), tag(PROBLEM, 2)]
        assert not may[tag(PROBLEM, 0), tag(DRUG, 2)]
        assert not may[tag(PROBLEM, 0), OUTSIDE]
        assert may[tag(PROBLEM, 3), tag(DRUG, 0)]

    def test_an_unannotated_type_stays_possible_outside_of_mentions(self) -> None:
        allowed = allowed_tags(3, [(1, 2, DRUG)], frozenset({DRUG}))
        assert allowed[0, tag(PROBLEM, 0)]
        assert not allowed[0, tag(DRUG, 3)]
        assert allowed[1].nonzero()[0].tolist() == [tag(DRUG, 3)]

    def test_spans_come_back(self) -> None:
        spans = [(0, 1, DRUG), (1, 4, PROBLEM), (5, 7, DRUG)]
        allowed = allowed_tags(8, spans, frozenset(MentionType))
        assert allowed.sum(axis=1).tolist() == [1] * 8
        assert list(spans_of(allowed.argmax(axis=1).tolist())) == spans


class TestChain:
    def test_likelihood_and_best_sequence_are_those_of_all_sequences(self) -> None:
        torch.manual_seed(3)
        chain = LinearChain()
        with torch.no_grad():
            weights = chain.weights.normal_().numpy().copy()
        emissions, length = torch.randn(1, 3, TAGS), 3
        given = emissions[0].numpy()
        may = transitions()
        scores = {}
        for path in itertools.product(range(TAGS), repeat=length):
            if all(may[a, b] for a, b in itertools.pairwise(path)):
                value = sum(given[place, each] for place, each in enumerate(path))
                scores[path] = float(value + sum(weights[a, b] for a, b in itertools.pairwise(path)))
        allowed = allowed_tags(length, [(0, 2, PROBLEM)], frozenset({PROBLEM}))
        possible = [score for path, score in scores.items() if allowed[range(length), path].all()]
        mask = torch.ones(1, length, dtype=torch.bool)
        loss = chain.loss(emissions, mask, torch.from_numpy(allowed)[None])
        everything = np.logaddexp.reduce(list(scores.values()))
        assert float(loss.detach()) == pytest.approx(everything - np.logaddexp.reduce(possible), abs=1e-3)
        assert chain.decode(emissions, mask) == [list(max(scores, key=scores.__getitem__))]

    def test_padding_changes_nothing(self) -> None:
        torch.manual_seed(4)
        chain, emissions = LinearChain(), torch.randn(2, 5, TAGS)
        mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        allowed = torch.from_numpy(np.stack([allowed_tags(5, [(0, 2, DRUG)], frozenset(MentionType))] * 2))
        together = chain.loss(emissions, mask, allowed)
        alone = chain.loss(emissions[1:, :3], mask[1:, :3], allowed[1:, :3])
        assert float(together[1].detach()) == pytest.approx(float(alone.detach()), abs=1e-4)
        assert chain.decode(emissions, mask)[1] == chain.decode(emissions[1:, :3], mask[1:, :3])[0]


class TestWindows:
    @pytest.mark.parametrize("text", ["", "a", "fever and cough " * 300, "x" * 5000, "naïve-" * 200])
    @pytest.mark.parametrize(("pieces", "margin"), [(8, 2), (160, 32), (3, 3)])
    def test_every_word_is_judged_once_and_no_window_is_too_long(
        self, encoder: TextEncoder, text: str, pieces: int, margin: int
    ) -> None:
        words = encoder.encode(text).words
        windows = list(cut(words, pieces=pieces, margin=margin))
        judged = [place for window in windows for place in range(window.core_start, window.core_end)]
        assert judged == list(range(len(words)))
        for window in windows:
            assert window.start <= window.core_start < window.core_end <= window.end
            size = words.edges[window.end] - words.edges[window.start]
            assert size <= max(pieces, margin + 100)

    def test_equal_results_whatever_the_batches(self, encoder: TextEncoder, finder: SpanFinder) -> None:
        text = "Severe chest pain after 5 mg of aspirin, no fever; HbA1c 7.2 %.\n" * 40
        single = SpanFinder(finder._network, encoder, CPU, batch=1)
        many = SpanFinder(finder._network, encoder, CPU, batch=17)
        assert single.find(text) == many.find(text) == finder.find(text) != []


HARD = [
    "",
    "\n" * 10_000,
    "\x00\x01\x1b[31m fever \x7f",
    "המטופל סובל מ pneumonia חריפה",
    "😷🤒 fever 🤒😷",
    "الحمى pneumonia",
    "ﬁbrosis of the lung\u200b\u00ad and A\u0301cid",
    "Ⅳ ½ mg ㎎ 肺炎 test",
    "a" * 10_000,
]


class TestAnyText:
    @pytest.mark.parametrize("text", HARD)
    def test_hard_texts(self, finder: SpanFinder, vocabulary: Vocabulary, linker: Linker, text: str) -> None:
        self.check(finder, vocabulary, linker, text)

    @given(st.text(max_size=300))
    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_every_mention_is_the_text_it_claims(
        self, finder: SpanFinder, vocabulary: Vocabulary, linker: Linker, text: str
    ) -> None:
        self.check(finder, vocabulary, linker, text)

    def check(self, finder: SpanFinder, vocabulary: Vocabulary, linker: Linker, text: str) -> None:
        recogniser = ClinicalRecogniser(finder, vocabulary, linker, name="small@1")
        mentions = recogniser.recognise([Page(1, text), Page(2, f"Then {text}")])
        behind = (1, 0)
        for mention in mentions:
            page = text if mention.page == 1 else f"Then {text}"
            assert page[mention.start : mention.end] == mention.text != ""
            assert (mention.page, mention.start) >= behind
            behind = (mention.page, mention.end)

    def test_five_million_characters_without_a_break_are_words_in_time_and_memory(
        self, encoder: TextEncoder
    ) -> None:
        text = "fever and cough, " * 300_000
        words = encoder._splitter.split(text)
        assert len(words) == 4 * 300_000
        assert text[words.starts[-2] : words.ends[-2]] == "cough"


class Told:
    """Finds each of the words wherever it stands."""

    def __init__(self, *words: tuple[str, MentionType]) -> None:
        self._words = words

    def find(self, text: str) -> list[tuple[int, int, MentionType]]:
        return sorted(
            (match.start(), match.end(), kind)
            for word, kind in self._words
            for match in re.finditer(rf"\b{word}\b", text)
        )


class TestCodes:
    def recognised(
        self, vocabulary: Vocabulary, linker: Linker, texts: Sequence[str], *words: tuple[str, MentionType]
    ) -> list[Mention]:
        recogniser = ClinicalRecogniser(Told(*words), vocabulary, linker, name="t@1")
        return recogniser.recognise([Page(number, text) for number, text in enumerate(texts, 1)])

    def test_the_name_or_its_last_words_give_the_concepts(
        self, vocabulary: Vocabulary, linker: Linker
    ) -> None:
        known, broader, other = self.recognised(
            vocabulary,
            linker,
            ["Known pneumonia. Yesterday pneumonia. A zzyzx."],
            ("(?<=Known )pneumonia", PROBLEM),
            ("Yesterday pneumonia", PROBLEM),
            ("zzyzx", DRUG),
        )
        assert known.concept is not None
        assert broader.concept is not None
        assert (known.concept.code, known.concept.score) == ("ICD10CM:J18.9", 1.0)
        assert (broader.concept.code, broader.text) == ("ICD10CM:J18.9", "Yesterday pneumonia")
        assert broader.concept.score < 1
        assert (other.text, other.concepts) == ("zzyzx", ())

    def test_a_name_that_no_terminology_has_gets_the_codes_of_the_nearest(
        self, vocabulary: Vocabulary, linker: Linker
    ) -> None:
        (mention,) = self.recognised(
            vocabulary, linker, ["A misspelt pancreattitis."], ("pancreattitis", PROBLEM)
        )
        assert mention.concepts
        assert {concept.code for concept in mention.concepts} <= {
            concept.code for concept in linker.concepts("pancreatitis")
        }

    def test_an_abbreviation_has_the_codes_of_what_the_document_says_it_is(
        self, vocabulary: Vocabulary, linker: Linker
    ) -> None:
        long, short, later, severe = self.recognised(
            vocabulary,
            linker,
            ["He has ventilator-associated pneumonia (VAP).", "VAP again, a severe VAP."],
            ("ventilator-associated pneumonia", PROBLEM),
            ("(?<!severe )VAP", PROBLEM),
            ("severe VAP", PROBLEM),
        )
        assert long.concepts == short.concepts == later.concepts != ()
        assert {each.code for each in severe.concepts} == {each.code for each in long.concepts}

    def test_also_where_it_stands_for_something_else_elsewhere(
        self, vocabulary: Vocabulary, linker: Linker
    ) -> None:
        long, *short = self.recognised(
            vocabulary, linker, ["Pleural effusion (PE).", "PE again."], ("Pleural effusion|PE", PROBLEM)
        )
        assert [mention.text for mention in short] == ["PE", "PE"]
        assert long.concepts != ()
        assert all(mention.concepts == long.concepts for mention in short)

    def test_a_procedure_is_no_illness_that_its_name_ends_with(
        self, vocabulary: Vocabulary, linker: Linker
    ) -> None:
        (mention,) = self.recognised(
            vocabulary, linker, ["drainage of abscess"], ("drainage of abscess", MentionType.PROCEDURE)
        )
        assert mention.concepts == ()


def toy(encoder: TextEncoder) -> list[Example]:
    """One corpus names the drugs, another the problems, in the same kind of sentence."""
    made = []
    for drug, problem in itertools.product(["aspirin", "ibuprofen", "codeine"], ["fever", "cough", "gout"]):
        text = f"{drug} was given for {problem} today."
        start = text.index(problem)
        drugs = LabelledText("a", text, (Labelled(0, len(drug), "Chemical"),))
        problems = LabelledText("b", text, (Labelled(start, start + len(problem), "Disease"),))
        types = {"Chemical": DRUG, "Disease": PROBLEM}
        made.append(example("problems", problems, encoder, types, frozenset({PROBLEM})))
        made.append(example("drugs", drugs, encoder, types, frozenset({DRUG})))
    return made


def trained(encoder: TextEncoder, folder: Path, epochs: int = 8) -> Training:
    folder.mkdir(exist_ok=True)
    plan = Plan(
        epochs=epochs, warmup_steps=1, encoder_rate=3e-3, head_rate=1e-2, average=0.5, report_copies=1
    )
    examples = toy(encoder)
    training = Training(folder, plan, small_network(), encoder, {"toy": "1"})
    training.run(examples, examples[:2])
    return training


class TestTraining:
    def test_a_corpus_that_names_no_drugs_does_not_teach_that_there_are_none(
        self, encoder: TextEncoder, tmp_path: Path
    ) -> None:
        training = trained(encoder, tmp_path)
        text = "codeine was given for gout today."
        found = SpanFinder(training._network, encoder, CPU).find(text)
        named = [(text[start:end], kind) for start, end, kind in found if kind in (DRUG, PROBLEM)]
        assert named == [("codeine", DRUG), ("gout", PROBLEM)]

    def test_the_same_seed_gives_the_same_weights_also_when_it_was_stopped(
        self, encoder: TextEncoder, tmp_path: Path
    ) -> None:
        once = trained(encoder, tmp_path / "once", epochs=2)
        (tmp_path / "twice").mkdir()
        plan = Plan(epochs=2, warmup_steps=1, encoder_rate=3e-3, head_rate=1e-2, average=0.5, report_copies=1)
        stopped = Training(tmp_path / "twice", plan, small_network(), encoder, {"toy": "1"})
        stopped.stop()
        examples = toy(encoder)
        assert not stopped.run(examples, examples[:2])
        assert stopped.progress == Progress(step=1, steps=1)
        again = trained(encoder, tmp_path / "twice", epochs=2)
        for name, value in once._network.trained().items():
            assert torch.equal(value, again._network.trained()[name]), name

    @pytest.mark.parametrize(
        ("epochs", "data"), [(3, {"toy": "1"}), (2, {"toy": "2"}), (2, {"toy": "1", "other": "1"})]
    )
    def test_what_another_plan_or_other_data_left_is_not_gone_on_with(
        self, encoder: TextEncoder, tmp_path: Path, epochs: int, data: dict[str, str]
    ) -> None:
        trained(encoder, tmp_path, epochs=2)
        plan = Plan(
            epochs=epochs, warmup_steps=1, encoder_rate=3e-3, head_rate=1e-2, average=0.5, report_copies=1
        )
        training = Training(tmp_path, plan, small_network(), encoder, data)
        with pytest.raises(ValueError, match=r"another plan or other data: remove it"):
            training.run(toy(encoder), toy(encoder)[:2])

    def test_the_best_epoch_or_its_mean_with_the_last_is_kept_and_chosen_anew_alike(
        self, encoder: TextEncoder, tmp_path: Path
    ) -> None:
        training = trained(encoder, tmp_path, epochs=3)
        *epochs, mixture = training.progress.history
        assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
        best = torch.load(tmp_path / "best-epoch.pt", weights_only=True)
        mixed = {name: torch.lerp(value, training._average[name], 0.5) for name, value in best.items()}
        better = mixture["mean"] > max(epoch["mean"] for epoch in epochs)
        kept = torch.load(tmp_path / "best.pt", weights_only=True)
        assert all(torch.equal(kept[name], (mixed if better else best)[name]) for name in kept)
        again = trained(encoder, tmp_path, epochs=3)
        assert again.progress.history == training.progress.history
        chosen = torch.load(tmp_path / "best.pt", weights_only=True)
        assert all(torch.equal(chosen[name], kept[name]) for name in kept)


class TestWeights:
    @pytest.mark.parametrize(
        "card", [None, "{", "{}", "[]", '{"weights": "absent"}', '{"weights": "recogniser.json"}']
    )
    def test_absent_weights_are_refused(
        self, tmp_path: Path, vocabulary: Vocabulary, card: str | None
    ) -> None:
        if card is not None:
            (tmp_path / CARD).write_text(card)
        with pytest.raises(ModelUnavailable, match="no whole recogniser"):
            load_clinical(ModelSettings(), vocabulary, folder=tmp_path)

    def test_shipped_weights_are_found_again_and_only_whole(
        self, tmp_path: Path, vocabulary: Vocabulary, vocabulary_cache: Path, linker: Linker
    ) -> None:
        torch.manual_seed(0)
        network = RecogniserNetwork(load_encoder(locate("minilm-l6").folder))
        ship(network.trained(), {"encoder": "minilm-l6@1"}, tmp_path)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 24_000_000
        recogniser = load_clinical(
            ModelSettings(device="cpu"), vocabulary, cache_dir=vocabulary_cache, folder=tmp_path
        )
        assert recogniser.name == f"clinical@1+dictionary@{vocabulary.version}+{linker.name}"
        kept = recogniser._finder._network.trained()  # type: ignore[attr-defined]
        assert all(torch.equal(value.half().float(), kept[name]) for name, value in network.trained().items())
        with (tmp_path / FILE).open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x7f")
        with pytest.raises(ModelUnavailable, match="altered"):
            load_clinical(ModelSettings(), vocabulary, folder=tmp_path)

    def test_another_encoder_is_refused(self, tmp_path: Path, vocabulary: Vocabulary) -> None:
        ship({"a": torch.zeros(1)}, {"encoder": "minilm-l6@0"}, tmp_path)
        with pytest.raises(ModelUnavailable, match="minilm-l6@0"):
            load_clinical(ModelSettings(), vocabulary, folder=tmp_path)

    def test_weights_of_another_network_are_refused(self, tmp_path: Path, vocabulary: Vocabulary) -> None:
        folder, weights = locate("minilm-l6").folder, tmp_path / "w.safetensors"
        save_file({"a": torch.zeros(1)}, weights)
        with pytest.raises(ModelUnavailable, match="another network"):
            load_finder(folder, weights, vocabulary, device="cpu", threads=1)
        weights.write_bytes(b"no")
        with pytest.raises(ModelUnavailable, match="cannot be read"):
            load_finder(folder, weights, vocabulary, device="cpu", threads=1)


def test_all_types_have_tags() -> None:
    assert 1 + 4 * len(TYPES) == TAGS

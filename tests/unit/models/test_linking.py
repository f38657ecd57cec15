"""Linking: the very name, names near it, abstaining, any text."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.text import MentionType
from models.linking import Linker
from models.linking.linker import LONGEST, SURE
from models.linking.scoring import read
from models.terminology import Vocabulary
from models.terminology.merging import key_of

PROBLEM, DRUG = MentionType.PROBLEM, MentionType.DRUG
NONSENSE = ["qwxzv", "Lorem ipsum dolor", "zzyzx plugh", "asdf jkl qwer", "xqj 17 vvk", "the of and with"]
ODD = {
    "empty": "",
    "blank": " \n\t ",
    "5 MB": "fever and cough, " * 300_000,
    "as long as may be": "x" * LONGEST,
    "control characters": "\x00\x07\x1b[31m\x7f\u200b\ufeff",
    "right to left": "التهاب رئوي \u202eحمى\u202c",
    "emoji": "🤒👩‍⚕️🇩🇪",
    "lone surrogate": "\ud800 fever",
    "combining": "fe\u0301ver" + "\u0301" * 300,
    "digits": "12 34 5.6",
    "punctuation": "?!(),;--" * 20,
}


class TestNames:
    def test_the_very_name_links_to_its_concepts(self, linker: Linker, vocabulary: Vocabulary) -> None:
        for name in Random(1).sample(range(len(vocabulary)), 500):
            text = vocabulary._names[name]
            meaning = vocabulary.lookup(text)
            assert meaning is not None
            if not meaning.capitals:
                assert linker.ranked(text) == meaning.concepts, text
                assert linker.concepts(text)[0] == meaning.concepts[0], text

    @pytest.mark.parametrize("text", ["Pneumonia", "pneumonias", "PNEUMONIA", " pneumonia\n"])
    def test_cases_plurals_and_blanks_do_not_matter(self, linker: Linker, text: str) -> None:
        assert [concept.code for concept in linker.concepts(text)] == [
            "ICD10CM:J18.9",
            "HP:0002090",
            "MESH:D011014",
        ]

    def test_an_abbreviation_counts_in_capitals_only(self, linker: Linker) -> None:
        assert linker.concepts("PE")[0].code == "ICD10CM:I26.99"
        assert "ICD10CM:I26.99" not in {concept.code for concept in linker.concepts("pe")}
        assert linker.concepts("XQZ") == ()

    def test_last_words_are_broader(self, linker: Linker) -> None:
        broader = linker.broader("basal pneumonia")
        assert broader[0].code == "ICD10CM:J18.9"
        assert all(concept.score < 1 for concept in broader)
        assert linker.broader("severe COPD")[0].code == "ICD10CM:J44.9"
        assert linker.broader("severe pneumonia", DRUG) == ()
        assert linker.broader("pneumonia") == linker.broader("") == linker.broader("x pneumonia" * 99) == ()

    def test_of_other_types_only_the_very_name_counts(self, linker: Linker) -> None:
        assert linker.concepts("pneumonia", MentionType.PROCEDURE)
        assert linker.ranked("pnuemonia", MentionType.PROCEDURE) == ()


class TestNearNames:
    def test_every_name_of_the_index_is_nearest_to_itself(self, linker: Linker) -> None:
        """Also the inverted and the long ones, which the vocabulary has not."""
        names = linker._index._parts["MESH"]
        for row in Random(2).sample(range(len(names)), 200):
            name = names.at(row).name
            best = linker.candidates(read(name), "MESH")[0]
            assert best.cosine > 0.97
            assert sorted(key_of(best.name)) == sorted(key_of(name)) or best.cosine > 0.999

    def test_inverted_names_and_slips_of_the_pen(self, linker: Linker) -> None:
        known = linker._index._parts["MESH"]
        names = [known.at(row).name for row in range(0, len(known), 25)]
        words = [name for name in names if len(key_of(name)) == 1 and len(name) > 9]
        right = 0
        for name in words:
            slip = name[:4] + name[5] + name[4] + name[6:]
            right += read(name).key == read(linker.candidates(read(slip), "MESH")[0].name).key
        assert words
        assert right > len(words) / 2

    def test_scores_are_probabilities_and_ranked(self, linker: Linker) -> None:
        for text in ("abnormal shape of the ear", "low set ears", "small head size", *NONSENSE):
            ranked = linker.ranked(text)
            scores = [concept.score for concept in ranked]
            assert scores == sorted(scores, reverse=True)
            assert all(0 <= score <= 1 for score in scores)
            assert len({concept.code for concept in ranked}) == len(ranked)
            assert all(concept.score >= SURE for concept in linker.concepts(text))

    @pytest.mark.parametrize("text", NONSENSE)
    @pytest.mark.parametrize("kind", [None, PROBLEM, DRUG])
    def test_nonsense_means_nothing(self, linker: Linker, text: str, kind: MentionType | None) -> None:
        assert linker.concepts(text, kind) == ()

    def test_the_same_text_has_the_same_concepts_whatever_was_asked_before(
        self, linker: Linker, vocabulary: Vocabulary
    ) -> None:
        texts = ["abnormal shape of the ear", "small head size", "pneumonia", "qwxzv"]
        fresh = linker.weighed_by(linker._weights)
        assert [fresh.ranked(text) for text in reversed(texts)] == [
            linker.ranked(text) for text in reversed(texts)
        ]


class TestAnyText:
    @pytest.mark.parametrize("name", ODD)
    def test_odd_texts_mean_nothing(self, linker: Linker, name: str) -> None:
        for kind in (None, *MentionType):
            found = linker.concepts(ODD[name], kind)
            assert found == () or "fe" in ODD[name]
            assert linker.broader(ODD[name], kind) == () or "fever" in ODD[name]

    @given(text=st.text(max_size=120), kind=st.sampled_from([None, *MentionType]))
    @settings(deadline=None)
    def test_any_text_is_answered(self, linker: Linker, text: str, kind: MentionType | None) -> None:
        for concept in (*linker.concepts(text, kind), *linker.broader(text, kind)):
            assert 0 < concept.score <= 1
            assert ":" in concept.code

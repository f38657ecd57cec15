"""Each assertion phenomenon by name: a sentence with one marked mention and what must be said of it."""

from __future__ import annotations

import pytest

from domain.text import (
    Assertion,
    AssertionLabel,
    Certainty,
    Experiencer,
    Mention,
    MentionType,
    Page,
    Polarity,
    Temporality,
)
from models.assertion.context import ContextRules
from models.assertion.cues import Effect, cue_table, read_cues
from models.sections import find_sections

RULES = ContextRules()


def assess(marked: str) -> Assertion:
    """The assertion of the mention in double brackets."""
    start = marked.index("[[")
    end = marked.index("]]") - 2
    page = Page(1, marked.replace("[[", "").replace("]]", ""))
    mention = Mention(1, start, end, page.text[start:end], MentionType.PROBLEM)
    (assertion,) = RULES.assess(page, [mention], find_sections([page]))
    return assertion


CASES = {
    "plain statement": ("The patient has [[pneumonia]].", "affirmed"),
    "plain, other clause negated": ("No fever. [[Cough]] since Monday.", "affirmed"),
    "no": ("No [[fever]].", "negated"),
    "no evidence of": ("There is no evidence of [[pneumonia]] on the film.", "negated"),
    "denies": ("She denies [[chest pain]].", "negated"),
    "list, second": ("Denies fever, [[chills]] or cough.", "negated"),
    "list, last": ("Denies fever, chills or [[cough]].", "negated"),
    "long list": (
        "He denies headache, nausea, vomiting, diarrhea, constipation, dysuria and [[hematuria]].",
        "negated",
    ),
    "without": ("Presented without [[rash]].", "negated"),
    "negative for": ("CT is negative for [[pulmonary embolism]].", "negated"),
    "absence of": ("In the absence of [[infection]] no treatment is needed.", "negated"),
    "neither nor": ("Neither effusion nor [[pneumothorax]] is seen.", "negated"),
    "verb form": ("He does not have [[diabetes]].", "negated"),
    "contraction": ("She doesn't have [[asthma]].", "negated"),
    "post-mention ruled out": ("[[Myocardial infarction]] was ruled out.", "negated"),
    "post-mention not seen": ("[[Pleural effusion]] is not seen.", "negated"),
    "post-mention absent": ("[[Edema]]: absent.", "negated"),
    "post-mention negative": ("[[Influenza]] swab was negative.", "negated"),
    "label and no": ("[[Cough]]: no", "negated"),
    "no history of": ("No history of [[stroke]].", "negated"),
    "denies history of": ("Denies any history of [[seizures]].", "negated"),
    "wrapped line": ("There is no\nevidence of [[pneumonia]].", "negated"),
    "but ends negation": ("No fever but [[cough]] for three days.", "affirmed"),
    "however ends negation": ("Denies pain, however [[dyspnea]] is worse.", "affirmed"),
    "verb ends negation": ("Denies fever, reports [[cough]].", "affirmed"),
    "and has ends negation": ("No vomiting and has [[diarrhea]].", "affirmed"),
    "there is ends negation": ("No pneumothorax, there is a small [[pleural effusion]].", "affirmed"),
    "semicolon ends negation": ("No fever; [[cough]] present.", "affirmed"),
    "sentence ends negation": ("No fever.\n[[Cough]] present.", "affirmed"),
    "parenthesis ends negation": ("[[Sepsis]] (no fever) treated.", "affirmed"),
    "within parentheses": ("Rash (no [[itching]]) on both arms with pain.", "negated"),
    "behind parentheses": ("Rash (no itching) and [[pain]].", "affirmed"),
    "except": ("No symptoms except [[fatigue]].", "affirmed"),
    "with after comma": ("No fever, with [[cough]].", "affirmed"),
    "no increase": ("No increase in [[pleural effusion]].", "affirmed"),
    "no change": ("No significant interval change in [[atelectasis]].", "affirmed"),
    "not only": ("Not only [[pneumonia]] was found.", "affirmed"),
    "not due to": ("Pain is not due to surgery, [[arthritis]] was found.", "affirmed"),
    "gram negative": ("Gram negative [[sepsis]].", "affirmed"),
    "without difficulty": ("He walks without difficulty despite [[arthritis]].", "affirmed"),
    "possible": ("Possible [[pneumonia]].", "uncertain"),
    "likely": ("This is likely [[viral infection]].", "uncertain"),
    "suspected": ("Suspected [[appendicitis]].", "uncertain"),
    "may represent": ("The opacity may represent [[pneumonia]].", "uncertain"),
    "concern for": ("Concern for [[sepsis]].", "uncertain"),
    "rule out": ("CT to rule out [[pulmonary embolism]].", "uncertain"),
    "r/o": ("R/o [[DVT]].", "uncertain"),
    "question mark": ("?[[PE]]", "uncertain"),
    "cannot be excluded": ("[[Malignancy]] cannot be excluded.", "uncertain"),
    "cannot exclude": ("Cannot exclude [[malignancy]].", "uncertain"),
    "differential": ("The differential includes [[sarcoidosis]].", "uncertain"),
    "versus": ("Atelectasis versus [[pneumonia]].", "uncertain"),
    "post-mention suspected": ("[[Meningitis]] is suspected.", "uncertain"),
    "history of": ("History of [[breast cancer]].", "historical"),
    "h/o": ("72M h/o [[CAD]].", "historical"),
    "status post": ("Status post [[appendicitis]].", "historical"),
    "previous": ("Previous [[stroke]].", "historical"),
    "in the past": ("She had [[hepatitis]] in the past.", "historical"),
    "years ago": ("[[Myocardial infarction]] five years ago.", "historical"),
    "resolved": ("[[Pneumonia]] has resolved.", "historical"),
    "presenting ends history": ("History of asthma presenting with [[chest pain]].", "affirmed"),
    "present illness is no history": ("History of present illness: [[cough]].", "affirmed"),
    "began months ago": ("The [[pain]] began 4 months ago.", "affirmed"),
    "past week is now": ("[[Cough]] over the past week.", "affirmed"),
    "if": ("Return if [[fever]] develops.", "hypothetical"),
    "return for": ("Return to the emergency department for [[chest pain]].", "hypothetical"),
    "risk of": ("The risk of [[bleeding]] was discussed.", "hypothetical"),
    "prophylaxis": ("[[DVT]] prophylaxis with heparin.", "hypothetical"),
    "vaccine": ("[[Influenza]] vaccine given.", "hypothetical"),
    "monitor for": ("Monitor for [[hypoglycemia]].", "hypothetical"),
    "as needed for": ("Paracetamol as needed for [[pain]].", "hypothetical"),
    "mother had": ("Her mother had [[breast cancer]].", "family"),
    "family history of": ("Family history of [[diabetes]].", "family"),
    "in relative": ("[[Colon cancer]] in his father.", "family"),
    "relative in parentheses": ("[[Breast cancer]] (mother).", "family"),
    "runs in the family": ("[[Gout]] runs in the family.", "family"),
    "no family history": ("No family history of [[stroke]].", "family"),
    "mother reports": ("Mother reports [[fever]] since yesterday.", "affirmed"),
    "lives with": ("Lives with his mother, has [[asthma]].", "affirmed"),
    "nil": ("Nil [[neck stiffness]].", "negated"),
    "minus in parentheses": ("[[Edema]] (-).", "negated"),
    "dash and no": ("[[Diabetes]] - no.", "negated"),
    "label, then no": ("ROS: no [[headache]], visual change, tinnitus.", "negated"),
    "label, then no, list": ("ROS: no headache, visual change, [[tinnitus]].", "negated"),
    "could not": ("He could not feel a [[mass]].", "negated"),
    "excluded": ("[[Pulmonary embolism]] was excluded by CT.", "negated"),
    "rather than": ("He has diplopia rather than [[blurred vision]].", "negated"),
    "and confirms ends negation": (
        "The scan shows no obstruction and confirms [[diverticulosis]].",
        "affirmed",
    ),
    "for the ends negation": ("No treatment was given for the [[otitis]].", "affirmed"),
    "only ends negation": ("Neither redness nor warmth, only [[tenderness]].", "affirmed"),
    "not tolerate": ("He could not tolerate the [[pain]].", "affirmed"),
    "no relief": ("No relief of [[abdominal pain]] after antacids.", "affirmed"),
    "without doubt": ("Without doubt this is [[psoriasis]].", "affirmed"),
    "never treated": ("He has never been treated for his [[hepatitis C]].", "affirmed"),
    "pseudo-negation within a mention": ("No [[change in mental status]].", "negated"),
    "unlikely": ("[[Malignancy]] is unlikely.", "uncertain"),
    "looks like": ("The rash looks like [[contact dermatitis]].", "uncertain"),
    "probably due to": ("Her cough is probably due to [[postnasal drip]].", "uncertain"),
    "most likely explanation": ("[[Viral gastroenteritis]] is the most likely explanation.", "uncertain"),
    "question mark before": ("? [[UTI]]", "uncertain"),
    "question mark behind": ("Imp: [[PE]]?", "uncertain"),
    "question marks behind": ("[[Torsion]]??", "uncertain"),
    "question mark in the span": ("Clinical indication: [[?PE]].", "uncertain"),
    "the next cue is not for the one before": ("[[Hypertension]] and possible sleep apnea.", "affirmed"),
    "as a child": ("As a child he had recurrent [[otitis media]].", "historical"),
    "in a year": ("In 2004 she developed [[optic neuritis]].", "historical"),
    "last year": ("He was admitted last year for an [[upper gastrointestinal bleed]].", "historical"),
    "old": ("There is an old [[lacunar infarct]].", "historical"),
    "age is not old": ("A 72 year old man with [[pneumonia]].", "affirmed"),
    "since last year": ("[[Cough]] since last spring.", "affirmed"),
    "should": ("Should [[delirium]] develop, avoid benzodiazepines.", "hypothetical"),
    "in the event of": ("In the event of [[anaphylactic shock]] use the pen.", "hypothetical"),
    "if there is": ("If there is [[hematemesis]], call us.", "hypothetical"),
    "call for any": ("Call the clinic for any [[redness]] or drainage.", "hypothetical"),
    "side effects such as": ("Side effects such as [[diarrhea]] were reviewed.", "hypothetical"),
    "risks, including": ("The risks of surgery, including bleeding and [[nerve injury]].", "hypothetical"),
    "return precautions": ("Return precautions for [[dehydration]] were given.", "hypothetical"),
    "half-brother": ("[[Bipolar disorder]] in a half-brother.", "family"),
    "family members": ("Multiple family members with [[kidney stones]].", "family"),
    "nobody in the family": ("There is no one in the family with [[epilepsy]].", "family"),
    "patient again": ("Her mother had cancer, she has [[asthma]].", "affirmed"),
}


@pytest.mark.parametrize("name", CASES)
def test_phenomenon(name: str) -> None:
    marked, label = CASES[name]
    assert assess(marked).label == label


def test_no_family_history_is_negated_too() -> None:
    assertion = assess("No family history of [[stroke]].")
    assert (assertion.experiencer, assertion.polarity) == (Experiencer.FAMILY, Polarity.NEGATED)


def test_axes_are_independent() -> None:
    assertion = assess("Mother had possible [[stroke]] ten years ago.")
    assert assertion.experiencer is Experiencer.FAMILY
    assert assertion.certainty is Certainty.UNCERTAIN
    assert assertion.temporality is Temporality.HISTORICAL


def test_the_cue_is_the_reason() -> None:
    text = "There is no evidence of [[pneumonia]]."
    cue = assess(text).cue
    assert cue is not None
    assert (cue.text, cue.start) == ("no evidence of", 9)


def test_nearest_cue_is_given() -> None:
    cue = assess("No fever, denies [[cough]].").cue
    assert cue is not None
    assert cue.text == "denies"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("FAMILY HISTORY:\n[[Asthma]], diabetes.", AssertionLabel.FAMILY),
        ("Past Medical History:\n[[Asthma]].", AssertionLabel.HISTORICAL),
        ("IMPRESSION:\n[[Asthma]].", AssertionLabel.AFFIRMED),
        ("FAMILY HISTORY:\nNone.\nIMPRESSION:\n[[Asthma]].", AssertionLabel.AFFIRMED),
    ],
)
def test_section_priors(text: str, label: AssertionLabel) -> None:
    assert assess(text).label == label


def test_prior_names_its_heading_as_the_cue() -> None:
    cue = assess("FAMILY HISTORY:\n[[Asthma]].").cue
    assert cue is not None
    assert cue.text == "FAMILY HISTORY"


def test_a_cue_inside_the_mention_does_not_count() -> None:
    assert assess("[[Absence seizure]] observed.").label == "affirmed"


def test_mentions_of_one_sentence_are_judged_alone() -> None:
    page = Page(1, "No fever but cough.")
    mentions = [
        Mention(1, 3, 8, "fever", MentionType.SIGN),
        Mention(1, 13, 18, "cough", MentionType.SIGN),
    ]
    labels = [assertion.label for assertion in RULES.assess(page, mentions, ())]
    assert labels == ["negated", "affirmed"]


def test_cue_notation() -> None:
    table = read_cues(
        ["[negated before]", "is|was ruled out|_: 7", "[none]", "in {kin}", "[lists]", "kin = mother|father"]
    )
    assert len(table) == 6
    found = table.longest_at(["it", "was", "ruled", "out"], 1)
    assert found is not None
    length, (rule,) = found
    assert (length, rule.effects, rule.forward, rule.limit) == (3, (Effect.NEGATED,), False, 7)
    assert table.longest_at(["was", "ruled", "in"], 0) == (2, (rule,))
    assert table.longest_at(["in", "father"], 0) is not None
    assert table.longest_at(["in", "uncle"], 0) is None


def test_unknown_group_is_refused() -> None:
    with pytest.raises(ValueError, match="maybe"):
        read_cues(["[maybe after]", "perhaps"])


def test_packaged_cues_know_every_effect() -> None:
    assert {effect for rule in cue_table().rules() for effect in rule.effects} == set(Effect)

"""Spelling rules for words: British to American, Latin and Greek plurals, words that must not be stemmed."""

from __future__ import annotations

import re

_UNSTEMMED = frozenset(
    "aids ards sids sars mers pots his hers its this was has does atlas pancreas lens news".split()
)
"""Abbreviations and short words whose ending is no ending."""

_PLURALS = dict(
    pair.split(":")
    for pair in (
        "thrombi:thrombus emboli:embolus bronchi:bronchus bacilli:bacillus nuclei:nucleus foci:focus "
        "calculi:calculus uteri:uterus sulci:sulcus gyri:gyrus hila:hilum bacteria:bacterium ova:ovum "
        "diverticula:diverticulum septa:septum atria:atrium criteria:criterion phenomena:phenomenon "
        "indices:index appendices:appendix cortices:cortex apices:apex matrices:matrix varices:varix "
        "cervices:cervix calices:calix feet:foot teeth:tooth children:child women:woman men:man mice:mouse "
        "loci:locus villi:villus rami:ramus nevi:nevus naevi:nevus naevus:nevus viscera:viscus "
        "ganglia:ganglion petechiae:petechia emphysemata:emphysema carcinomata:carcinoma "
        "adenomata:adenoma fibromata:fibroma stigmata:stigma spermatozoa:spermatozoon protozoa:protozoon "
        "meninges:meninx phalanges:phalanx larynges:larynx pharynges:pharynx lice:louse "
        "fungi:fungus alveoli:alveolus humeri:humerus femora:femur crura:crus corpora:corpus viri:virus"
    ).split()
)

_BRITISH = re.compile(
    r"(?P<ae>haem|aemi|paed|gynaec|faec|caec|anaes|aetio|aesth|caesar|leucaem|naev|lymphoedema)"
    r"|(?P<oe>oedem|oesoph|oestr|rrhoe|foet|coel|pnoe|amoeb|homoeo)"
    r"|(?P<our>(?:tum|col|behavi|od|vap|harb|lab|fav|hum|vig)our)"
    r"|(?P<sulph>sulph)|(?P<isation>isation(?=s?$))|(?P<yse>lys(?=e[ds]?$|ing$))|(?P<re>(?:cent|fib|lit|met)re(?=s?$))"
)
_REPLACEMENTS = {"sulph": "sulf", "isation": "ization", "yse": "lyz"}
_SIBILANT = re.compile(r"s(?:es|is|e)$")
_GREEK_SINGULAR = re.compile(r"(?<=[aeioy])sis$")


def american(word: str) -> str:
    """`haemorrhage` to `hemorrhage`, `tumour` to `tumor`, `oedema` to `edema`."""
    return _BRITISH.sub(_americanise, word)


def _americanise(match: re.Match[str]) -> str:
    kind, text = str(match.lastgroup), match.group()
    if kind in _REPLACEMENTS:
        return _REPLACEMENTS[kind]
    match kind:
        case "our":
            return text[:-2] + "r"
        case "re":
            return text[:-2] + "er"
        case _:
            return text.replace("ae", "e").replace("oe", "e")


def normalise_spelling(word: str) -> str | None:
    """What is to be stemmed for a folded word, or None when the word is its own stem.

    A Greek singular takes its plural's ending, so that `metastasis` and `metastases` share a stem.
    """
    if word in _UNSTEMMED:
        return None
    word = american(_PLURALS.get(word, word))
    return _GREEK_SINGULAR.sub("ses", word)


def lookup_form(word: str) -> str:
    """One key for singular and plural, American and British; lighter than a stem, for looking names up."""
    if len(word) < 4 or not word.isalpha() or not word.isascii():
        return word
    word = american(_PLURALS.get(word, word))
    if word in _UNSTEMMED or word.endswith(("ss", "us")):
        return word
    if word.endswith("sses"):
        return word[:-2]
    if _SIBILANT.search(word):
        return _SIBILANT.sub("s", word)
    if word.endswith("ies") and len(word) > 5:
        return word[:-3] + "y"
    if word.endswith(("shes", "ches", "xes", "zzes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("is") else word

"""What kind of document a text is, by its title, its sections and its words, with a confidence.

Evidence adds up per type; the confidence is the softmax of the sums. Without evidence it is `other`. A type that
a person or a standard gave (a LOINC document code) is better than this guess.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from domain.documents import DocumentType
from domain.text import Page, Section

HEAD = 600
"""Characters of the first page in which a title is looked for."""
READ = 20_000
"""Characters that are looked at."""
_TITLE_WEIGHT = 3.0
_MOST_HITS = 3
_ENOUGH = 0.5
"""Below this confidence no type is named."""
_NOTHING = 1.0
"""What speaks for `other` when nothing speaks for anything."""

LOINC = {
    "18842-5": DocumentType.DISCHARGE_SUMMARY, "18761-7": DocumentType.DISCHARGE_SUMMARY,
    "18748-4": DocumentType.RADIOLOGY, "11502-2": DocumentType.LABORATORY, "57113-1": DocumentType.REFERRAL,
    "57133-1": DocumentType.REFERRAL, "11504-8": DocumentType.OPERATIVE, "28570-0": DocumentType.OPERATIVE,
    "11506-3": DocumentType.CLINIC_NOTE, "34117-2": DocumentType.CLINIC_NOTE,
    "11488-4": DocumentType.CLINIC_NOTE, "34133-9": DocumentType.OTHER, "52521-2": DocumentType.OTHER,
}  # fmt: skip
"""Document codes of LOINC, as C-CDA uses them."""

_TITLES = {
    DocumentType.DISCHARGE_SUMMARY: r"discharge (?:summary|letter|report)|transfer summary|summary of (?:hospital stay|admission)|hospital discharge",
    DocumentType.RADIOLOGY: r"(?:radiology|imaging|x.?ray|ultrasound|sonograph\w*|mri|mr|ct|pet) (?:report|of|scan|head|chest|abdomen|brain|spine)|diagnostic imaging|(?:chest|abdominal|pelvic) (?:radiograph|x.?ray|ct|film)|radiograph|mammogra\w+|computed tomography|magnetic resonance|\bct\b|\bmri\b",
    DocumentType.LABORATORY: r"laboratory (?:report|results)|lab(?:oratory)? report|pathology report|microbiology report|blood (?:results|test report)|full blood count|haematology report|hematology report",
    DocumentType.REFERRAL: r"referral(?: letter| note)?|referred to|re: referral|thank you for seeing",
    DocumentType.OPERATIVE: r"operati(?:ve|on) (?:note|report|record)|procedure (?:note|report)|surgical (?:note|report)|report of procedure|endoscopy report|(?:colonoscopy|gastroscopy|bronchoscopy|catheteri[sz]ation|angiography)(?: report)?",
    DocumentType.CLINIC_NOTE: r"(?:clinic|progress|consult(?:ation)?|office|visit|outpatient|follow.?up|soap|soap) (?:note|letter|visit|report)|history (?:and|&) physical|outpatient clinic|clinic visit",
    DocumentType.ARTICLE: r"original (?:article|research|paper)|open access|case report|research article|systematic review|journal of|\bdoi\b|doi\.org|et al\b|abstract\b|volume \d+",
    DocumentType.GUIDELINE: r"guidelines?|clinical pathway|practice statement|recommendations for|protocol for|department guide|\bguide\b|position statement|fact sheet|policy",
}  # fmt: skip
_WORDS = {
    DocumentType.DISCHARGE_SUMMARY: r"date of (?:admission|discharge)|discharged (?:home|to|on|in)|admitted (?:to|with|on|for)|on discharge|length of stay|discharge (?:medications?|diagnos[ie]s|condition)",
    DocumentType.RADIOLOGY: r"contrast|comparison:|\bviews?\b|opacit(?:y|ies)|attenuation|no (?:acute|focal) (?:osseous|consolidation|abnormality)|unremarkable|pneumothorax|costophrenic|radiologist",
    DocumentType.LABORATORY: r"reference (?:range|interval)|specimen|collected|\bunits?\b|m?mol/l|g/dl|10\^9|[ -](?:high|low)\b|flag|culture grew|susceptib",
    DocumentType.REFERRAL: r"dear (?:dr|doctor|colleague)|(?:i|we) (?:would be|am|are) (?:most )?grateful|(?:please|kindly) (?:see|assess|review|advise)|your (?:opinion|advice|assessment)|refer(?:ring)? (?:him|her|this|mr|mrs|ms)|reason for referral",
    DocumentType.OPERATIVE: r"(?:pre|post).?operative diagnosis|an(?:ae|e)sthesia|estimated blood loss|surgeon|incision|was prepped|draped|sutur\w+|specimens?|haemostasis|hemostasis|scope was|sedation",
    DocumentType.CLINIC_NOTE: r"seen in (?:the )?clinic|returns? for|follow.?up|presents (?:to|for|today|with)|the patient (?:reports|denies|states)|review in|today|\bpmh\b|\bo/e\b|\bhpi\b",
    DocumentType.ARTICLE: r"\bet al\b|p ?[<=] ?0?\.\d|\bfig(?:ure)?\.? \d|\btable \d|we (?:report|describe|found|conclude|present)|correspond(?:ing|ence)|received:|copyright|ethics|informed consent|\[\d+(?:[,-] ?\d+)*\]",
    DocumentType.GUIDELINE: r"\b(?:should|must) be (?:offered|considered|given|referred|used|treated)|we recommend|is recommended|grade [a-d]\b|(?:strong|conditional) recommendation|evidence level|all (?:patients|adults) (?:with|who)|consider\b|health (?:workers|care providers)|who (?:recommends|guideline)",
}  # fmt: skip
_SECTIONS = {
    DocumentType.DISCHARGE_SUMMARY: {"hospital_course": 2.5, "discharge": 1.0},
    DocumentType.RADIOLOGY: {"findings": 1.0, "impression": 1.0, "technique": 1.5, "indication": 0.5},
    DocumentType.LABORATORY: {"results": 0.8},
    DocumentType.REFERRAL: {},
    DocumentType.OPERATIVE: {"anesthesia": 2.0, "complications": 0.8, "procedure": 1.0, "findings": 0.3},
    DocumentType.CLINIC_NOTE: {
        "chief_complaint": 0.7, "history": 0.6, "review_of_systems": 0.8, "examination": 0.5, "assessment": 0.7,
        "plan": 0.4,
    },
    DocumentType.ARTICLE: {
        "abstract": 1.5, "methods": 1.5, "introduction": 1.0, "discussion": 1.5, "references": 2.0,
    },
    DocumentType.GUIDELINE: {},
}  # fmt: skip
_TITLE_PATTERNS = {kind: re.compile(rf"\b(?:{words})", re.IGNORECASE) for kind, words in _TITLES.items()}
_WORD_PATTERNS = {kind: re.compile(words, re.IGNORECASE) for kind, words in _WORDS.items()}


@dataclass(frozen=True, slots=True)
class DocumentGuess:
    """A type and how sure it is, 0 to 1."""

    type: DocumentType
    confidence: float


def guess_document_type(pages: Sequence[Page], sections: Sequence[Section] = ()) -> DocumentGuess:
    """The likeliest type of a document's pages with their sections."""
    text = "\n".join(page.text[:READ] for page in pages[:10])[:READ]
    if not text.strip():
        return DocumentGuess(DocumentType.OTHER, 1.0)
    names = {section.name for section in sections}
    scores = {kind: _score(kind, text, names) for kind in _TITLES}
    scores[DocumentType.OTHER] = _NOTHING
    best = max(scores, key=scores.__getitem__)
    total = sum(math.exp(score) for score in scores.values())
    confidence = math.exp(scores[best]) / total
    if confidence < _ENOUGH:
        return DocumentGuess(DocumentType.OTHER, 1.0 - confidence)
    return DocumentGuess(best, confidence)


def _score(kind: DocumentType, text: str, sections: set[str]) -> float:
    """Titles count more the earlier they stand; each distinct phrase counts once, up to `_MOST_HITS`."""
    title = _TITLE_PATTERNS[kind].search(text, 0, HEAD)
    phrases = set()
    for match in _WORD_PATTERNS[kind].finditer(text):
        phrases.add(match.group().lower())
        if len(phrases) == 2 * _MOST_HITS:
            break
    weight = _TITLE_WEIGHT * (1 - title.start() / (2 * HEAD)) if title else 0.0
    return weight + 0.5 * len(phrases) + sum(_SECTIONS[kind].get(name, 0.0) for name in sections)

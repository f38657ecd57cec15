"""Sections of clinical documents by their headings, in a fixed vocabulary.

A heading is a line of its own, or the start of a line up to a colon, whose words are a known spelling of a
section's name. A line in capitals that ends with a colon and is not known starts the section `other`. A
section lasts until the next heading, across pages.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from domain.text import Page, Section

_SPELLINGS = {
    "chief_complaint": (
        "chief complaint, cc, presenting complaint, reason for visit, reason for consultation, reason for "
        "referral, reason for admission, presenting problem, complaint, chief complaints"
    ),
    "history": (
        "history of present illness, hpi, history of presenting complaint, present illness, history, "
        "history of the present illness, interval history, subjective, clinical history, case "
        "presentation, case report, patient history, clinical summary"
    ),
    "past_history": (
        "past medical history, pmh, pmhx, medical history, past history, previous medical history, past "
        "surgical history, psh, surgical history, past medical and surgical history, previous history, "
        "background, past medical hx, problem list, comorbidities, obstetric history, gynecologic "
        "history, psychiatric history, past psychiatric history"
    ),
    "medications": (
        "medications, medication, current medications, home medications, medications on admission, "
        "discharge medications, medications on discharge, medication list, drug history, dh, meds, "
        "prescriptions, medications prior to admission, current meds, admission medications, medication "
        "history"
    ),
    "allergies": (
        "allergies, allergy, drug allergies, allergies and adverse reactions, adverse reactions, "
        "allergies and intolerances, medication allergies, known allergies"
    ),
    "family_history": "family history, fh, fhx, family medical history, family hx, fam hx",
    "social_history": (
        "social history, sh, shx, personal history, social and occupational history, habits, occupational "
        "history, lifestyle, social hx, personal and social history"
    ),
    "review_of_systems": "review of systems, ros, systems review, systemic enquiry, review of symptoms",
    "immunizations": "immunizations, immunisations, vaccinations, immunization history",
    "examination": (
        "physical examination, physical exam, examination, exam, on examination, o e, objective, pe, "
        "general examination, clinical examination, mental status examination, neurological examination, "
        "exam on discharge, exam on admission, physical findings"
    ),
    "vital_signs": "vital signs, vitals, observations, vitals reviewed",
    "results": (
        "results, laboratory data, laboratory results, lab results, labs, laboratory, investigations, "
        "laboratory findings, test results, pertinent results, laboratory studies, imaging, radiology, "
        "imaging studies, diagnostic studies, microbiology, pathology, blood tests, data, diagnostic "
        "results, laboratory values, relevant results, ecg, ekg, tests"
    ),
    "findings": (
        "findings, report, description, gross description, microscopic description, imaging findings, "
        "operative findings, intraoperative findings"
    ),
    "technique": "technique, comparison, protocol, contrast, exam type, study, procedure comments",
    "indication": "indication, indications, clinical indication, clinical information, clinical details",
    "impression": (
        "impression, impressions, conclusion, conclusions, opinion, interpretation, summary, final "
        "impression, impression and recommendation, impression and recommendations"
    ),
    "diagnosis": (
        "diagnosis, diagnoses, final diagnosis, final diagnoses, discharge diagnosis, principal "
        "diagnosis, discharge diagnoses, admission diagnosis, admitting diagnosis, primary diagnosis, "
        "secondary diagnoses, secondary diagnosis, preoperative diagnosis, postoperative diagnosis, pre "
        "operative diagnosis, post operative diagnosis, differential diagnosis, working diagnosis, active "
        "problems, problems"
    ),
    "assessment": (
        "assessment, assessment and plan, assessment plan, a p, ap, assessment and recommendations, "
        "clinical impression, formulation, medical decision making, assessment plan and recommendations"
    ),
    "plan": (
        "plan, recommendations, recommendation, treatment plan, plan of care, management, plan and "
        "advice, management plan, follow up plan, plan of treatment, treatment, therapy, care plan"
    ),
    "procedure": (
        "procedure, procedures, operation, operations, operative procedure, procedure performed, "
        "procedures performed, description of procedure, details of procedure, operation performed, "
        "procedure details, surgical procedure"
    ),
    "anesthesia": "anesthesia, anaesthesia, anesthesia type",
    "complications": "complications, complication, adverse events",
    "hospital_course": (
        "hospital course, brief hospital course, course, clinical course, course in hospital, emergency "
        "department course, ed course, progress, clinical progress, progress notes"
    ),
    "discharge": (
        "discharge instructions, disposition, condition on discharge, discharge condition, follow up, "
        "discharge disposition, followup, follow up instructions, discharge plan, instructions, patient "
        "instructions, return precautions, discharge follow up"
    ),
    "abstract": "abstract",
    "introduction": "introduction, objective and background, aim, aims, objectives, rationale",
    "methods": "methods, method, materials and methods, patients and methods, study design",
    "discussion": "discussion, limitations",
    "references": "references, bibliography, literature cited, acknowledgements, acknowledgments",
}
SECTIONS = {name: tuple(spellings.split(", ")) for name, spellings in _SPELLINGS.items()}
"""Canonical name -> spellings, folded, without punctuation."""

OTHER = "other"
NAMES = (*SECTIONS, OTHER)
_BY_SPELLING = {spelling: name for name, spellings in SECTIONS.items() for spelling in spellings}
_ONLY_WITH_COLON = frozenset(
    (
        "aim ap background cc complaint contrast course data description dh ecg ekg exam fh habits history "
        "hpi imaging instructions laboratory labs lifestyle management medication observations operation "
        "operations pathology pe problems procedure progress radiology report sh study summary tests therapy "
        "treatment"
    ).split()
)
_LINE = re.compile(r"[^\n]+")
_LEAD = re.compile(r"[\s#*=_>•●\-–—]*(?:(?:\d{1,2}(?:\.\d{1,2})*|[IVX]{1,4}|[A-Ha-h])[.)]\s+)?")
_LABEL = re.compile(r"[^:\n]{2,60}?(?=\s*:)")
_PUNCTUATION = re.compile(r"[^a-z0-9]+")
_CAPITALS = re.compile(r"[A-Z][A-Z0-9 /&(),'\-]{3,58}[A-Z)]")
_LONGEST = 60


class PageSections:
    """The sections of one page, which do not overlap, by position."""

    def __init__(self, sections: Iterable[Section] = ()) -> None:
        self._sections = sorted(sections, key=lambda section: section.start)
        self._starts = [section.start for section in self._sections]

    def at(self, position: int) -> Section | None:
        """The section that the position is in."""
        index = bisect_right(self._starts, position) - 1
        return self._sections[index] if index >= 0 and position < self._sections[index].end else None


def find_sections(pages: Sequence[Page]) -> tuple[Section, ...]:
    """Sections in order, cut at page ends; text before the first heading belongs to none."""
    found: list[Section] = []
    current: str | None = None
    for page in pages:
        starts = list(headings(page.text))
        edges = [*(start for start, _ in starts), len(page.text)]
        if current is not None and edges[0] > 0:
            found.append(Section(current, page.number, 0, edges[0]))
        for (start, name), end in zip(starts, edges[1:], strict=True):
            found.append(Section(name, page.number, start, end))
        current = starts[-1][1] if starts else current
    return tuple(found)


def headings(text: str) -> Iterator[tuple[int, str]]:
    """(start of the line, section name) of every heading in a page's text."""
    for match in _LINE.finditer(text):
        if name := _heading(match.group()):
            yield match.start(), name


def _heading(line: str) -> str | None:
    start = lead.end() if (lead := _LEAD.match(line)) else 0
    label = _LABEL.match(line, start)
    candidate = (label.group() if label else line[start:]).strip()
    if not 2 <= len(candidate) <= _LONGEST or not candidate[0].isalpha():
        return None
    spelling = _PUNCTUATION.sub(" ", candidate.lower()).strip()
    name = _BY_SPELLING.get(spelling)
    if name is not None:
        return name if label or _stands_alone(candidate, spelling) else None
    return OTHER if label and _CAPITALS.fullmatch(candidate) and label.end() - label.start() > 4 else None


def _stands_alone(candidate: str, spelling: str) -> bool:
    """A line without a colon is a heading when it looks like one: capitals, or a capital and no full stop."""
    if candidate.isupper():
        return len(spelling) > 2
    return candidate[0].isupper() and candidate[-1].isalpha() and spelling not in _ONLY_WITH_COLON

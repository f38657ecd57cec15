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
        "referral, reason for visit chief complaint, chief complaint s and reason for visit, reason for "
        "admission, presenting problem, complaint, chief complaints"
    ),
    "history": (
        "history of present illness, hpi, history of presenting complaint, present illness, history, "
        "history of the present illness, interval history, subjective, subjective data, clinical history, case "
        "presentation, case report, patient history, clinical summary"
    ),
    "past_history": (
        "past medical history, pmh, pmhx, medical history, past history, previous medical history, history of past illness, history of past medical surgical illness, "
        "past illnesses, past medical problems, past "
        "surgical history, psh, surgical history, past medical and surgical history, previous history, "
        "background, past medical hx, comorbidities, past surgical hx, pshx, med hx, obstetric history, gynecologic "
        "history, psychiatric history, past psychiatric history, birth history, significant past medical "
        "history, pertinent past medical history, other medical history"
    ),
    "medications": (
        "medications, medication, current medications, home medications, medications on admission, "
        "discharge medications, medications on discharge, medication list, drug history, dh, meds, "
        "prescriptions, medications prior to admission, current meds, admission medications, medication "
        "history, history of medication use, drugs, present medications, outpatient medications, inpatient "
        "medications, regular medications, medicines, discharge meds, home meds, rx"
    ),
    "allergies": (
        "allergies, allergy, drug allergies, allergies and adverse reactions, adverse reactions, "
        "allergies and intolerances, medication allergies, known allergies, allergies adverse "
        "reactions alerts, allergies and sensitivities, drug allergy, all"
    ),
    "family_history": (
        "family history, fh, fhx, family medical history, family hx, fam hx, fhx and shx, famhx, family and "
        "genetic history, relevant family history, pertinent family history"
    ),
    "social_history": (
        "social history, sh, shx, personal history, social and occupational history, habits, occupational "
        "history, lifestyle, social hx, personal and social history"
    ),
    "review_of_systems": "review of systems, ros, systems review, systemic enquiry, review of symptoms",
    "immunizations": "immunizations, immunisations, vaccinations, immunization history",
    "examination": (
        "physical examination, physical exam, examination, exam, on examination, o e, objective, pe, "
        "general examination, clinical examination, mental status examination, neurological examination, "
        "exam on discharge, exam on admission, physical findings, objective data, general status, hospital discharge physical, "
        "discharge physical, discharge exam, discharge examination, skin physical finding, mental status, o, "
        "physical assessment, clinical findings, on exam, msk, heent, cvs, cns"
    ),
    "vital_signs": (
        "vital signs, vitals, observations, vitals reviewed, vital signs last filed, obs, vs, admission vitals"
    ),
    "results": (
        "results, laboratory data, laboratory results, lab results, labs, laboratory, investigations, "
        "laboratory findings, test results, pertinent results, laboratory studies, imaging, radiology, "
        "imaging studies, diagnostic studies, microbiology, pathology, blood tests, data, diagnostic "
        "results, laboratory values, relevant results, ecg, ekg, tests, hospital discharge studies summary, results reviewed, significant "
        "results, bloods, blood results, chemistry, hematology, haematology, laboratory tests, lab data, "
        "diagnostics, special investigations"
    ),
    "findings": (
        "findings, report, description, gross description, microscopic description, imaging findings, "
        "operative findings, intraoperative findings, procedure findings, microscopic findings, macroscopic "
        "description"
    ),
    "technique": "technique, comparison, protocol, contrast, exam type, study, procedure comments",
    "indication": (
        "indication, indications, clinical indication, clinical information, clinical details, procedure "
        "indications, indications for procedure, reason for exam, reason for examination, reason for study, "
        "indication for procedure, indication for surgery, reason for test"
    ),
    "impression": (
        "impression, impressions, conclusion, conclusions, opinion, interpretation, summary, final "
        "impression, impression and recommendation, impression and recommendations"
    ),
    "diagnosis": (
        "diagnosis, diagnoses, final diagnosis, final diagnoses, discharge diagnosis, principal "
        "diagnosis, discharge diagnoses, admission diagnosis, admitting diagnosis, primary diagnosis, "
        "secondary diagnoses, secondary diagnosis, preoperative diagnosis, postoperative diagnosis, pre "
        "operative diagnosis, post operative diagnosis, differential diagnosis, working diagnosis, active "
        "problems, problems, problem list, current problems, hospital discharge diagnosis, dx, impression and "
        "diagnosis, provisional diagnosis, clinical diagnosis, diagnostic impression, postprocedure diagnosis, "
        "health concerns section, health concerns"
    ),
    "assessment": (
        "assessment, assessment and plan, assessment plan, a p, ap, assessment and recommendations, "
        "clinical impression, imp, assessment and plans, assessment impression, impression and plan, impression "
        "plan, formulation, medical decision making, assessment plan and recommendations"
    ),
    "plan": (
        "plan, recommendations, recommendation, treatment plan, plan of care, management, plan and "
        "advice, management plan, follow up plan, plan of treatment, treatment, therapy, care plan, planned procedure, goals, goals section, orders, next steps, "
        "interventions, rx plan"
    ),
    "procedure": (
        "procedure, procedures, operation, operations, operative procedure, procedure performed, "
        "procedures performed, description of procedure, details of procedure, operation performed, "
        "procedure details, surgical procedure, procedure description, history of procedures, operative "
        "technique, procedure in detail, name of procedure, name of operation, title of operation"
    ),
    "anesthesia": "anesthesia, anaesthesia, anesthesia type, procedure anesthesia, type of anesthesia",
    "complications": "complications, complication, adverse events",
    "hospital_course": (
        "hospital course, brief hospital course, course, clinical course, course in hospital, emergency "
        "department course, ed course, progress, clinical progress, progress notes, hospital course of care, summary of hospital "
        "course, hospital stay, inpatient course, course of illness, hospital course by problem"
    ),
    "discharge": (
        "discharge instructions, disposition, condition on discharge, discharge condition, follow up, "
        "discharge disposition, followup, follow up instructions, discharge plan, instructions, patient "
        "instructions, return precautions, discharge follow up, hospital discharge instructions, procedure disposition, "
        "discharge advice, advice, safety netting, patient education, discharge planning"
    ),
    "abstract": "abstract",
    "introduction": "introduction, objective and background, aim, aims, objectives, rationale",
    "methods": "methods, method, materials and methods, patients and methods, study design",
    "discussion": "discussion, limitations",
    "other": (
        "advance directives, encounters, functional status, medical equipment, insurance providers, payers, "
        "nutrition section, nutrition, hospital consultations, consultations, health status evaluations "
        "outcomes section, procedure estimated blood loss, estimated blood loss, ebl, procedure implants, "
        "implants, procedure specimens taken, specimens taken, specimens, specimen, surgical drains, drains, "
        "operative note fluids, surgeon, surgeons, assistant, assistants, signature, electronically signed "
        "by, code status, patient information, demographics, funding, conflict of interest, disclosures"
    ),
    "references": "references, bibliography, literature cited, acknowledgements, acknowledgments",
}
SECTIONS = {name: tuple(spellings.split(", ")) for name, spellings in _SPELLINGS.items()}
"""Canonical name -> spellings, folded, without punctuation."""

OTHER = "other"
NAMES = tuple(SECTIONS)
LOINC = {
    "10154-3": "chief_complaint", "46239-0": "chief_complaint", "42349-1": "chief_complaint",
    "29299-5": "chief_complaint", "8661-1": "chief_complaint",
    "10164-2": "history", "11329-0": "history", "61150-9": "history",
    "11348-0": "past_history", "10167-5": "past_history", "47519-4": "procedure",
    "10160-0": "medications", "75311-1": "medications", "10183-2": "medications", "42346-7": "medications",
    "29549-3": "medications",
    "48765-2": "allergies", "10157-6": "family_history", "29762-2": "social_history",
    "10187-3": "review_of_systems", "11369-6": "immunizations",
    "29545-1": "examination", "10210-3": "examination", "8709-8": "examination", "10184-0": "examination",
    "10190-7": "examination", "61149-1": "examination",
    "8716-3": "vital_signs", "30954-2": "results", "11493-4": "results", "18748-4": "results",
    "121070": "findings", "59776-5": "findings", "18782-3": "findings",
    "121072": "impression", "19005-8": "impression", "55115-0": "technique",
    "59768-2": "indication", "121109": "indication", "18785-6": "indication",
    "11450-4": "diagnosis", "42347-5": "diagnosis", "46241-6": "diagnosis", "11535-2": "diagnosis",
    "10218-6": "diagnosis", "10219-4": "diagnosis", "59769-0": "diagnosis", "75310-3": "diagnosis",
    "C-CDAV2-DDN": "diagnosis",
    "51848-0": "assessment", "51847-2": "assessment",
    "18776-5": "plan", "59772-4": "plan", "61146-7": "plan", "62387-6": "plan",
    "29554-3": "procedure", "10223-6": "procedure", "59774-0": "anesthesia", "59770-8": "other",
    "55109-3": "complications", "8648-8": "hospital_course",
    "8653-8": "discharge", "59775-7": "discharge",
    "42348-3": "other", "46240-8": "other", "47420-5": "other", "46264-8": "other", "48768-6": "other",
    "61144-2": "other", "11383-7": "other", "18841-7": "other", "59771-6": "other", "59773-2": "other",
    "10216-0": "other", "11537-8": "other", "121181": "other",
}  # fmt: skip
"""Section codes of LOINC (and the DICOM ones of imaging reports) -> canonical name, as C-CDA uses them."""
_BY_SPELLING = {spelling: name for name, spellings in SECTIONS.items() for spelling in spellings}
_ONLY_WITH_COLON = frozenset(
    (
        "aim ap background cc complaint contrast course data description dh ecg ekg exam fh habits history "
        "hpi imaging instructions laboratory labs lifestyle management medication observations operation "
        "operations pathology pe problems procedure progress radiology report sh study summary tests therapy "
        "treatment dx rx o obs vs all advice orders drains surgeon surgeons assistant assistants implants specimen "
        "specimens nutrition goals drugs medicines chemistry msk heent cvs cns imp signature interventions funding "
        "encounters ebl bloods diagnostics demographics"
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

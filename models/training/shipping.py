"""From a finished training to what ships: weights in half precision, their card, their measured scores.

    python -m models.training.shipping --run FOLDER --data ../shared/data

Measured are the sets that no training saw: both `devel` parts and each fifth report of MACCROBAT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from config.settings import ModelSettings
from domain.text import MentionType
from models.evaluation.corpora import LabelledText, read_corpus
from models.evaluation.ner import NerResult, evaluate
from models.recognition.clinical import CARD, WEIGHTS, load_clinical
from models.terminology import ensure_vocabulary
from models.training.examples import ABSTRACTS, MACCROBAT, maccrobat

VERSION = "1"
FILE = "recogniser.safetensors"
README = "README.md"

_CARD_TEXT = """# The clinical recogniser, version {version}

Finds mentions of problems, signs, drugs, procedures, tests and anatomy in English clinical text and abstracts. The
encoder is {encoder}, whose embeddings come with its package; stored here are its layers as they were tuned, the
reading of letters and dictionary names, and a linear chain over the tags, in half precision.

**Data.** BC5CDR (BioCreative V; Li et al. 2016), as redistributed under CC BY 4.0 by MTL-Bioinformatics-2016 (Crichton
et al. 2017); NCBI-disease (Doğan et al. 2014), public domain; MACCROBAT2020 (Caufield et al. 2020), CC BY 4.0. Of the
first two the train parts, of MACCROBAT's 156 given reports four fifths. A corpus that does not annotate a type teaches
nothing of it. AnatEM (CC BY-SA) had no part in it.

**Licence of the weights.** Apache 2.0; the corpora's authors are to be named as above.

**Scores.** Strict: start, end and type. No training and no stopping saw these texts.

| texts | type | precision | recall | F1 |
|---|---|---|---|---|
{rows}

**Limits.** Case reports and abstracts are not the notes of a ward: expect less there, and measure with
`medsearch evaluate ner`. In abstracts signs count as problems, as their corpora have it. A span is continuous; of
mentions within each other one is found. Dosages, dates, persons and genes are not looked for. Texts in other
languages give little, and wrong. Made again by `make train-recogniser`; settings, data hashes and the course of the
training are in `{card}`.
"""


def ship(weights: Mapping[str, Tensor], record: dict[str, Any], folder: Path) -> None:
    """Write the weights and their card to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in weights.items()}, folder / FILE)
    (folder / FILE).chmod(0o644)
    digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    card = {"name": f"clinical@{VERSION}", "weights": FILE, "sha256": digest, **record}
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def measured(folder: Path, data: Path, cache: Path) -> dict[str, NerResult]:
    """The shipped recogniser on what was kept from it."""
    recogniser = load_clinical(ModelSettings(), ensure_vocabulary(cache), cache_dir=cache, folder=folder)
    return {name: evaluate(recogniser, texts, types) for name, (texts, types) in kept_texts(data).items()}


def kept_texts(data: Path) -> dict[str, tuple[Sequence[LabelledText], Mapping[str, MentionType]]]:
    """The texts that no training saw, and what their types are here."""
    disease = {"Disease": MentionType.PROBLEM}
    return {
        "BC5CDR devel": (read_corpus(data / "ner/bc5cdr/devel.tsv.gz", "iob"), ABSTRACTS),
        "NCBI-disease devel": (read_corpus(data / "ner/ncbi_disease/devel.tsv.gz", "iob"), disease),
        "MACCROBAT, held out": (maccrobat(data)[1], MACCROBAT),
    }


def rows(results: Mapping[str, NerResult]) -> list[str]:
    """The table of the card."""
    return [
        f"| {name} | {kind} | {own.precision:.3f} | {own.recall:.3f} | {own.f1:.3f} |"
        for name, result in results.items()
        for kind, own in [*((kind.value, own) for kind, own in result.by_type.items()), ("all", result.micro)]
    ]


def main() -> None:
    options = argparse.ArgumentParser(description="Ship a trained recogniser.")
    options.add_argument("--run", type=Path, required=True)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--out", type=Path, default=WEIGHTS)
    chosen = options.parse_args()
    record = json.loads((chosen.run / "record.json").read_text())
    ship(torch.load(chosen.run / "best.pt", weights_only=True), record, chosen.out)
    lines = "\n".join(rows(measured(chosen.out, chosen.data, chosen.run)))
    text = _CARD_TEXT.format(version=VERSION, encoder=record["encoder"], rows=lines, card=CARD)
    (chosen.out / README).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

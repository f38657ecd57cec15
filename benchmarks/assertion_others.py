"""negspacy or medspaCy on given mentions, run in an environment of its own: `NAME MENTIONS.json`, answers on stdout.

The input is a list of [text, [[start, end], ...]]. Both run on `spacy.blank("en")` with the given spans as
entities; a span that does not meet token ends is widened to them. Time is that of texts to judged entities.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

Doc.set_extension("given", default=[])
CLASSES = {
    "negated": "is_negated", "uncertain": "is_uncertain", "historical": "is_historical",
    "hypothetical": "is_hypothetical", "family": "is_family",
}  # fmt: skip


@Language.component("given_spans")
def given_spans(doc: Doc) -> Doc:
    spans = {
        (start, end): doc.char_span(start, end, "PROBLEM", alignment_mode="expand")
        for start, end in doc._.given
    }
    doc.set_ents(spacy.util.filter_spans([span for span in spans.values() if span is not None]))
    return doc


def pipeline(name: str) -> Language:
    nlp = spacy.blank("en")
    if name == "negspacy":
        import negspacy.negation  # noqa: F401 - makes `negex` known to spaCy

        nlp.add_pipe("sentencizer")
        nlp.add_pipe("given_spans")
        nlp.add_pipe("negex")
        return nlp
    from loguru import logger

    logger.remove()  # what its sentence splitter writes for every token is not what is timed
    import medspacy.context
    import medspacy.sentence_splitting  # noqa: F401 - makes `medspacy_pyrush` known to spaCy

    nlp.add_pipe("medspacy_pyrush")
    nlp.add_pipe("given_spans")
    nlp.add_pipe("medspacy_context")
    return nlp


def judged(name: str, entity: Span) -> list[str]:
    if name == "negspacy":
        return ["negated"] if entity._.negex else []
    return [label for label, attribute in CLASSES.items() if getattr(entity._, attribute)]


def main() -> None:
    name, path = sys.argv[1:]
    texts = json.loads(Path(path).read_text())
    nlp = pipeline(name)
    nlp("No fever.")
    answers: list[list[list[str]]] = []
    began = time.perf_counter()
    for text, spans in texts:
        doc = nlp.make_doc(text)
        doc._.given = spans
        doc = nlp(doc)
        answers.append([
            next((judged(name, e) for e in doc.ents if e.start_char < end and start < e.end_char), [])
            for start, end in spans
        ])  # fmt: skip
    print(json.dumps({"seconds": time.perf_counter() - began, "answers": answers}))


if __name__ == "__main__":
    main()

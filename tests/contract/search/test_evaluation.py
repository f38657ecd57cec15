"""A test collection goes through real models and a real index of its own, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.progress import Progress

from cluster.evaluation.retrieval import rank_collection
from config.settings import Settings
from deployments.search.schemas import Mode
from models.evaluation.retrieval import Collection, CorpusDocument, figures

DOCUMENTS = (
    CorpusDocument("heart", "Myocardial infarction", "Chest pain and a raised troponin."),
    CorpusDocument("lung", "", "Pneumonia of the left lower lobe was treated with amoxicillin."),
    CorpusDocument("bone", "Fracture of the ankle", "A cast for six weeks."),
)


async def test_all_modes_rank_what_answers_the_question_first(
    settings: Settings, vocabulary_cache: Path
) -> None:
    settings.models_path.symlink_to(vocabulary_cache)
    queries = {"1": "which antibiotic was given for lung infection", "2": "heart attack", "3": "unjudged"}
    collection = Collection(DOCUMENTS, queries, {"1": {"lung": 1.0}, "2": {"heart": 2.0}})
    before = set(Path(tempfile.gettempdir()).glob("medsearch-evaluation-*"))
    with Progress(disable=True) as progress:
        ranked = await rank_collection(settings, collection, list(Mode), progress)
    assert set(Path(tempfile.gettempdir()).glob("medsearch-evaluation-*")) <= before
    for mode in (Mode.SEMANTIC, Mode.HYBRID):
        assert figures(ranked[mode], collection).ndcg_at_10 == 1
    assert ranked[Mode.LEXICAL] == {"1": [], "2": ["heart"]}

"""Names and codes of clinical concepts: looked up by code for labels, by name for codes, and in running text.

The vocabulary is compiled once from the packaged terminologies (`build_vocabulary`) into a folder of arrays
that every process maps into memory and shares.
"""

from models.terminology.build import build_vocabulary, ensure_vocabulary
from models.terminology.vocabulary import Meaning, Vocabulary

__all__ = ["Meaning", "Vocabulary", "build_vocabulary", "ensure_vocabulary"]

"""Reads the sentences of a folder's lists, normalised for comparison."""

import re
from pathlib import Path

from lorb.formats import read_nbest_lists

PARTS = ("train", "dev", "test")


def same_words(sentence: str) -> str:
    """The sentence without case, punctuation and extra spaces."""
    return " ".join(re.sub(r"[^\w\s]", "", sentence.casefold()).split())


def sentences_in(folder: Path, parts: tuple[str, ...] = PARTS) -> frozenset[str]:
    """The normalised sentences of these parts of a folder."""
    cells = sorted(cell for part in parts for cell in folder.glob(f"{part}-*.jsonl.gz"))
    return frozenset(same_words(nbest.reference or "") for nbest in read_nbest_lists(cells, require_references=True))

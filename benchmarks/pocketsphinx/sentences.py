"""The sentences of a folder's lists, as they compare."""

import re
from pathlib import Path

from lorb.formats import read_nbest_lists

PARTS = ("train", "dev", "test")


def same_words(sentence: str) -> str:
    """Equal for sentences that sound the same: without case, punctuation and spare spaces."""
    return " ".join(re.sub(r"[^\w\s]", "", sentence.casefold()).split())


def sentences_in(folder: Path, parts: tuple[str, ...] = PARTS) -> frozenset[str]:
    """What was said in a folder's whole cells of these parts, as `same_words` has it."""
    cells = sorted(cell for part in parts for cell in folder.glob(f"{part}-*.jsonl.gz"))
    return frozenset(same_words(nbest.reference or "") for nbest in read_nbest_lists(cells, require_references=True))

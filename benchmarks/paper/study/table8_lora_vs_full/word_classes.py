"""Classifies words as function or content words, and by frequency in train."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

FUNCTION, CONTENT = "function", "content"
# Articles, pronouns, prepositions, conjunctions, auxiliaries, negation, and other closed classes of English.
FUNCTION_WORDS = frozenset(Path(__file__).with_name("function_words.txt").read_text(encoding="ascii").split())
# (name, minimum count in train), the rarest last.
FREQUENCIES = (("100 or more", 100), ("10 to 99", 10), ("1 to 9", 1), ("not in train", 0))


def word_class(word: str) -> str:
    """FUNCTION or CONTENT, decided by the part before an apostrophe; words in "'t" (negations) are FUNCTION."""
    stem, apostrophe, ending = word.lower().partition("'")
    is_negation = bool(apostrophe) and ending == "t"
    return FUNCTION if stem in FUNCTION_WORDS or is_negation else CONTENT


def word_counts(references: Iterable[str]) -> Counter[str]:
    """The number of times that each word occurs in the references."""
    return Counter(word for reference in references for word in reference.split())


def frequency_class(word: str, counts: Mapping[str, int]) -> str:
    """The frequency class of a word, a name of FREQUENCIES."""
    return next(name for name, minimum in FREQUENCIES if counts.get(word, 0) >= minimum)

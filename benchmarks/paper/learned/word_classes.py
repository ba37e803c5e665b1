"""Kinds of words that errors are counted by: by their part in a sentence, and by how often train has them."""

from collections import Counter
from collections.abc import Iterable

FUNCTION, CONTENT = "function", "content"
# Articles, pronouns, prepositions, conjunctions, auxiliaries, negation, and other closed classes of English.
FUNCTION_WORDS = frozenset(
    """
    a about above across after against all along although am among an and another any anybody anyone anything are around
    as at be because been before behind being below beneath beside between beyond both but by can cannot could did do
    does doing done down during each either else every everybody everyone everything few for from had has have having he
    her here hers herself him himself his how however i if in into is it its itself least less like many may me might
    mine more most much must my myself near neither no nobody none nor not nothing of off on once one only onto or other
    others ought our ours ourselves out over own per perhaps quite rather same shall she should since so some somebody
    someone something still such than that the thee their theirs them themselves then there therefore these they thine
    this those thou though through throughout thus thy till to too toward towards under until unto up upon us very was
    we well were what whatever when where whether which while who whom whose why will with within without would ye yet
    you your yours yourself yourselves
    """.split()
)
# (name, least count in train), the rarest last.
FREQUENCIES = (("100 or more", 100), ("10 to 99", 10), ("1 to 9", 1), ("not in train", 0))


def word_class(word: str) -> str:
    """FUNCTION or CONTENT; a contraction ("don't", "i'll") is what its part before the apostrophe is, or a negation."""
    stem, apostrophe, ending = word.lower().partition("'")
    is_negation = bool(apostrophe) and ending == "t"
    return FUNCTION if stem in FUNCTION_WORDS or is_negation else CONTENT


def word_counts(references: Iterable[str]) -> Counter[str]:
    """How often each word stands in the references."""
    return Counter(word for reference in references for word in reference.split())


def frequency_class(word: str, counts: Counter[str]) -> str:
    """One of FREQUENCIES' names."""
    return next(name for name, least in FREQUENCIES if counts[word] >= least)

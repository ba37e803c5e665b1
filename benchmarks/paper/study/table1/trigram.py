"""A trigram language model of words: interpolated Kneser-Ney with one discount (Chen and Goodman 1999, eq. 2.8).

P(w | u v) = (max(c(u v w) - D, 0) + D N(u v .) P(w | v)) / c(u v .), where N counts different words. P(w | v) and P(w)
have the same form, with numbers of different preceding words as counts. P(w) backs off to a uniform distribution over
the vocabulary and one unknown word.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

DISCOUNT = 0.75
_START, _END = "<s>", "</s>"
_Context = tuple[str, ...]


class Trigram:
    """A trigram of some texts."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        trigrams: Counter[_Context] = Counter(gram for words in texts for gram in _trigrams(words))
        bigrams: Counter[_Context] = Counter((v, w) for _, v, w in trigrams)
        unigrams = Counter(w for _, w in bigrams)
        self._num_words = len(unigrams) + 1
        self._orders = (_by_context(_as_grams(unigrams)), _by_context(bigrams), _by_context(trigrams))

    def log_probability(self, words: Sequence[str]) -> float:
        """The natural logarithm of a text's probability, its end included."""
        return sum(math.log(self._probability(w, (u, v))) for u, v, w in _trigrams(words))

    def _probability(self, word: str, context: _Context) -> float:
        """The probability of a word after a context; backs off to a shorter context if this one is unseen."""
        lower = self._probability(word, context[1:]) if context else 1 / self._num_words
        following = self._orders[len(context)].get(context)
        if following is None:
            return lower
        total = following.total()
        seen = max(following.get(word, 0) - DISCOUNT, 0.0)
        return (seen + DISCOUNT * len(following) * lower) / total


def _as_grams(counts: Counter[str]) -> Counter[_Context]:
    """Unigram counts with tuples as keys."""
    return Counter({(word,): count for word, count in counts.items()})


def _trigrams(words: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    padded = (_START, _START, *words, _END)
    return zip(padded, padded[1:], padded[2:], strict=False)


def _by_context(grams: Counter[_Context]) -> dict[_Context, Counter[str]]:
    """The counts of the words that follow each context."""
    following: dict[_Context, Counter[str]] = defaultdict(Counter)
    for gram, count in grams.items():
        following[gram[:-1]][gram[-1]] += count
    return dict(following)

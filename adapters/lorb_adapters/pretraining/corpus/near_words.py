"""Words that look alike: what a recogniser could have written instead of a word."""

import math
import random
from array import array
from collections import Counter, defaultdict
from itertools import accumulate

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

# Replacements are drawn from so many of the text's commonest words: enough for most errors, quick to look through.
_MOST_WORDS = 20_000
_LONG_WORD = 8  # letters; from here on one letter more may differ
# Each further letter that differs makes a word so much less likely.
_LESS_LIKELY = 8.0
_MOST_LETTERS = 24


class NearWords:
    """The common words of a text by spelling, and misspellings. The same words and draws give the same answers."""

    def __init__(self, word_counts: Counter[str]) -> None:
        commonest = sorted(word_counts, key=lambda word: (-word_counts[word], word))[:_MOST_WORDS]
        self._counts = {word: word_counts[word] for word in commonest}
        self._words = commonest
        self._numbers = {word: number for number, word in enumerate(commonest)}
        self._by_length: dict[int, list[str]] = defaultdict(list)
        for word in commonest:
            self._by_length[len(word)].append(word)
        letters = Counter(letter for word in commonest for letter in word if letter.isalpha())
        self._letters = "".join(sorted(letters)) or "e"
        self._weights = list(accumulate(letters[letter] or 1 for letter in self._letters))
        self._frequent = commonest[:200]
        self._frequent_weights = list(accumulate(self._counts[word] for word in self._frequent))
        # numbers of words and running sums of weights: lists of both would be gigabytes for a text of some size
        self._near: dict[str, tuple[array[int], array[float]]] = {}

    def near(self, word: str, rng: random.Random) -> str | None:
        """A word of the text that differs from `word` in up to two letters (three in long words).

        Drawn by the root of its count, an eighth of it for each further letter; None where there is none.
        """
        numbers, weights = self._near.get(word) or self._look_up(word)
        return self._words[rng.choices(numbers, cum_weights=weights)[0]] if numbers else None

    def frequent(self, rng: random.Random) -> str:
        """One of the commonest words by its count: what a recogniser inserts."""
        return rng.choices(self._frequent, cum_weights=self._frequent_weights)[0]

    def misspelled(self, word: str, rng: random.Random) -> str:
        """`word` with one letter, in long words perhaps two, replaced, inserted, left out or exchanged with the next.

        A letter drawn may be the one that stood there: the result can be `word`.
        """
        letters = list(word)
        for _ in range(2 if len(word) >= _LONG_WORD and rng.random() < 0.5 else 1):
            at = rng.randrange(len(letters))
            what = rng.randrange(4)
            letter = rng.choices(self._letters, cum_weights=self._weights)[0]
            if what == 0:
                letters[at] = letter
            elif what == 1:
                letters.insert(at + rng.randrange(2), letter)
            elif what == 2 and len(letters) > 1:
                del letters[at]
            elif at + 1 < len(letters):
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
        return "".join(letters)

    def _look_up(self, word: str) -> "tuple[array[int], array[float]]":
        most = 2 if len(word) < _LONG_WORD else 3
        found: list[tuple[str, float]] = []
        if len(word) <= _MOST_LETTERS:  # longer ones are rare, and have no neighbours worth the time
            for length in range(len(word) - most, len(word) + most + 1):
                matches = process.extract(
                    word, self._by_length.get(length, ()), scorer=Levenshtein.distance, score_cutoff=most, limit=None
                )
                found += [
                    (other, math.sqrt(self._counts[other]) / _LESS_LIKELY ** (distance - 1))
                    for other, distance, _ in matches
                    if distance
                ]
        found.sort()
        numbers = array("I", (self._numbers[each] for each, _ in found))
        self._near[word] = numbers, array("d", accumulate(weight for _, weight in found))
        return self._near[word]

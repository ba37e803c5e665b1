"""Draws similarly spelt words of a text, and misspellings, as synthetic recognition errors."""

import math
import random
from array import array
from collections import Counter, defaultdict
from itertools import accumulate

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

_MAX_WORDS = 20_000  # replacements are drawn from the commonest words
_MAX_LETTERS = 24  # longer words are rare and get no similar words
_NUM_FREQUENT = 200
_LONG_WORD_LETTERS = 8  # words of this length or longer may differ by 3 edits instead of 2
_EDIT_PENALTY = 8.0  # each edit beyond the first divides a word's probability by this factor


class SimilarWords:
    """Draws replacements for words; equal word counts and states of the random generator give equal replacements."""

    def __init__(self, word_counts: Counter[str]) -> None:
        commonest = sorted(word_counts, key=lambda word: (-word_counts[word], word))[:_MAX_WORDS]
        self._counts = {word: word_counts[word] for word in commonest}
        self._words = commonest
        self._numbers = {word: number for number, word in enumerate(commonest)}
        self._by_length: dict[int, list[str]] = defaultdict(list)
        for word in commonest:
            self._by_length[len(word)].append(word)
        letters = Counter(letter for word in commonest for letter in word if letter.isalpha())
        self._letters = "".join(sorted(letters)) or "e"
        self._letter_weights = list(accumulate(letters[letter] or 1 for letter in self._letters))
        self._frequent = commonest[:_NUM_FREQUENT]
        self._frequent_weights = list(accumulate(self._counts[word] for word in self._frequent))
        # Arrays of word numbers and cumulative weights: lists would take gigabytes for a large text.
        self._similar: dict[str, tuple[array[int], array[float]]] = {}

    def similar(self, word: str, rng: random.Random) -> str | None:
        """Draws a word of the text within edit distance 2 of `word` (3 for long words); None if the text has none.

        A word's probability is proportional to the square root of its count, and 8 times lower for each edit beyond the
        first.
        """
        numbers, weights = self._similar.get(word) or self._look_up(word)
        return self._words[rng.choices(numbers, cum_weights=weights)[0]] if numbers else None

    def frequent(self, rng: random.Random) -> str:
        """Draws one of the commonest words in proportion to its count: recognisers insert short common words."""
        return rng.choices(self._frequent, cum_weights=self._frequent_weights)[0]

    def misspelled(self, word: str, rng: random.Random) -> str:
        """Replaces, inserts or drops one letter, or swaps two neighbours; in half of the long words, does so twice.

        The result may equal `word`, for example if a letter is replaced by itself.
        """
        letters = list(word)
        for _ in range(2 if len(word) >= _LONG_WORD_LETTERS and rng.random() < 0.5 else 1):
            at = rng.randrange(len(letters))
            operation = rng.randrange(4)
            letter = rng.choices(self._letters, cum_weights=self._letter_weights)[0]
            if operation == 0:
                letters[at] = letter
            elif operation == 1:
                letters.insert(at + rng.randrange(2), letter)
            elif operation == 2 and len(letters) > 1:
                del letters[at]
            elif at + 1 < len(letters):
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
        return "".join(letters)

    def _look_up(self, word: str) -> "tuple[array[int], array[float]]":
        max_edits = 2 if len(word) < _LONG_WORD_LETTERS else 3
        found: list[tuple[str, float]] = []
        if len(word) <= _MAX_LETTERS:
            for length in range(len(word) - max_edits, len(word) + max_edits + 1):
                matches = process.extract(
                    word,
                    self._by_length.get(length, ()),
                    scorer=Levenshtein.distance,
                    score_cutoff=max_edits,
                    limit=None,
                )
                found += [
                    (other, math.sqrt(self._counts[other]) / _EDIT_PENALTY ** (distance - 1))
                    for other, distance, _ in matches
                    if distance
                ]
        found.sort()
        numbers = array("I", (self._numbers[each] for each, _ in found))
        self._similar[word] = numbers, array("d", accumulate(weight for _, weight in found))
        return self._similar[word]

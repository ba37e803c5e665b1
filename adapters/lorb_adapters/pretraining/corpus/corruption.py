"""Corrupts sentences as a recogniser might, and labels the words that are wrong."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.confusions import Confusion, Confusions
from lorb_adapters.pretraining.corpus.similar_words import SimilarWords

# Shares of the kinds of synthetic corruption, which is used where no confusion from real lists is drawn. Recognisers
# substitute more words than they drop or insert, so most of it is substitution.
_SYNTHETIC = {"similar": 0.6, "misspelled": 0.2, "dropped": 0.1, "inserted": 0.1}


@dataclass(frozen=True, slots=True)
class CorruptedSentence:
    """A corrupted sentence with its labels.

    Attributes:
        words: words of the corrupted sentence.
        wrong: [words + 1] labels: whether a word is wrong, or a word before it is missing. The last label belongs to
            the end of the sentence.
    """

    words: tuple[str, ...]
    wrong: tuple[bool, ...]


class Corruptor:
    """Corrupts sentences. Equal states of the random generator give equal results."""

    def __init__(self, similar_words: SimilarWords, confusions: Confusions, config: BuildConfig) -> None:
        self._similar_words, self._confusions = similar_words, confusions
        self._share, self._confusion_share = config.corrupted_share, config.confusion_share

    def corrupt(self, words: Sequence[str], rng: random.Random) -> CorruptedSentence:
        """Corrupts every word with the same probability, drawn uniformly from 0 to twice the configured share."""
        rate = rng.uniform(0.0, 2 * self._share)
        written: list[str] = []
        wrong: list[bool] = []
        at, is_missing = 0, False
        while at < len(words):
            change = self._draw(words, at, rng) if rng.random() < rate else None
            if change is None:
                written.append(words[at])
                wrong.append(is_missing)
                at, is_missing = at + 1, False
                continue
            written += change.written
            wrong += [True] * len(change.written)
            is_missing = not change.written
            at += change.num_words
            if change.num_words == 0:  # copy the word after an insertion, so that the loop advances
                written.append(words[at])
                wrong.append(False)
                at += 1
        return CorruptedSentence(tuple(written), (*wrong, is_missing))

    def _draw(self, words: Sequence[str], at: int, rng: random.Random) -> Confusion | None:
        """Draws a replacement of the words from position `at` on; None if the replacement equals these words."""
        change = None
        if rng.random() < self._confusion_share:
            change = self._confusions.draw(words, at, rng)
        if change is None:
            change = self._synthetic(words[at], rng)
        return None if change.written == tuple(words[at : at + change.num_words]) else change

    def _synthetic(self, word: str, rng: random.Random) -> Confusion:
        [kind] = rng.choices(list(_SYNTHETIC), weights=list(_SYNTHETIC.values()))
        if kind == "dropped":
            return Confusion(1, ())
        if kind == "inserted":
            return Confusion(0, (self._similar_words.frequent(rng),))
        similar = self._similar_words.similar(word, rng) if kind == "similar" else None
        return Confusion(1, (similar or self._similar_words.misspelled(word, rng),))

"""Corrupted sentences: what a recogniser could have written, and which of the words are wrong."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.confusions import Confusion, Confusions
from lorb_adapters.pretraining.corpus.near_words import NearWords

# Of the corruptions that no confusion gives. Recognisers substitute more often than they drop or insert.
_KINDS = {"near": 0.6, "misspelled": 0.2, "dropped": 0.1, "inserted": 0.1}


@dataclass(frozen=True, slots=True)
class CorruptedSentence:
    """A sentence as it came out.

    Attributes:
        words: of the sentence.
        wrong: [words + 1] whether each word was not said, or something that was said is missing just before it; the
            last one is for the sentence's end.
    """

    words: tuple[str, ...]
    wrong: tuple[bool, ...]


class Corruptor:
    """Corrupts sentences. The same generator's state gives the same sentence."""

    def __init__(self, near_words: NearWords, confusions: Confusions, config: BuildConfig) -> None:
        self._near_words, self._confusions = near_words, confusions
        self._share, self._confusion_share = config.corrupted_share, config.confusion_share

    def corrupt(self, words: Sequence[str], rng: random.Random) -> CorruptedSentence:
        """Draws how much of the sentence is corrupted, from nothing to twice the share, and then at each word what."""
        rate = rng.uniform(0.0, 2 * self._share)
        written: list[str] = []
        wrong: list[bool] = []
        at, is_missing = 0, False
        while at < len(words):
            drawn = self._draw(words, at, rng) if rng.random() < rate else None
            if drawn is None:
                written.append(words[at])
                wrong.append(is_missing)
                at, is_missing = at + 1, False
                continue
            written += drawn.written
            wrong += [True] * len(drawn.written)
            is_missing = not drawn.written
            at += drawn.num_words
            if drawn.num_words == 0:  # the word behind an insertion is not corrupted too: the loop must end
                written.append(words[at])
                wrong.append(False)
                at += 1
        return CorruptedSentence(tuple(written), (*wrong, is_missing))

    def _draw(self, words: Sequence[str], at: int, rng: random.Random) -> Confusion | None:
        """A change at a word, or None where what was drawn would leave it as it is."""
        drawn = None
        if rng.random() < self._confusion_share:
            drawn = self._confusions.draw(words, at, rng)
        if drawn is None:
            drawn = self._made_up(words[at], rng)
        return None if drawn.written == tuple(words[at : at + drawn.num_words]) else drawn

    def _made_up(self, word: str, rng: random.Random) -> Confusion:
        [kind] = rng.choices(list(_KINDS), weights=list(_KINDS.values()))
        if kind == "dropped":
            return Confusion(1, ())
        if kind == "inserted":
            return Confusion(0, (self._near_words.frequent(rng),))
        near = self._near_words.near(word, rng) if kind == "near" else None
        return Confusion(1, (near or self._near_words.misspelled(word, rng),))

"""Draws the sentences that the teacher scores: those to distil, and held-out pairs to measure on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.sentences import NO_NORMALIZATION, shuffled_order
from lorb_adapters.text import EncodedHypothesis, TextEncoder

_SENTENCES_PER_PAIR, _MAX_PAIRS = 50, 400


@dataclass(frozen=True, slots=True)
class TeacherSentences:
    """Encoded sentences by role.

    Attributes:
        distilled: sentences whose teacher scores train the student.
        num_hypotheses: number of hypotheses of the recogniser, which come first in `distilled`.
        true: held-out sentences, [pairs].
        corrupted: a copy of each true sentence with at least one word changed, [pairs].
    """

    distilled: tuple[EncodedHypothesis, ...]
    num_hypotheses: int
    true: tuple[EncodedHypothesis, ...]
    corrupted: tuple[EncodedHypothesis, ...]

    @classmethod
    def draw(cls, corpus: Corpus, config: BuildConfig, encoder: TextEncoder) -> "TeacherSentences":
        """Draws hypotheses and sentences, and corrupts the sentences.

        In the shuffled order, these sentences come after the ones that masked-LM training reads.
        """
        hypotheses = _drawn_hypotheses(corpus, config)
        start = config.num_sentences
        positions = range(start, start + config.num_teacher_sentences - len(hypotheses))
        order = shuffled_order(len(corpus.sentences), config.seed, positions.start, positions.stop)
        sentences = [
            _corrupted(corpus, corpus.sentences[number], f"{config.seed}/teacher/{position}")
            for position, number in zip(positions, order, strict=True)
        ]
        num_pairs = min(_MAX_PAIRS, max(1, config.num_teacher_sentences // _SENTENCES_PER_PAIR))
        pairs = [
            (text, _corrupted(corpus, text, f"{config.seed}/held out/{position}"))
            for position, text in enumerate(corpus.sentences.held_out)
        ]
        differing = [(true, corrupted) for true, corrupted in pairs if true != corrupted][:num_pairs]
        return cls(
            _encode(encoder, [*hypotheses, *sentences]),
            len(hypotheses),
            _encode(encoder, [true for true, _ in differing]),
            _encode(encoder, [corrupted for _, corrupted in differing]),
        )

    @property
    def rows(self) -> tuple[EncodedHypothesis, ...]:
        """All sentences: distilled, true, corrupted."""
        return (*self.distilled, *self.true, *self.corrupted)


def _drawn_hypotheses(corpus: Corpus, config: BuildConfig) -> list[str]:
    """Distinct texts of the lists in random order: as many as `hypothesis_share` gives, or all if there are fewer."""
    normalized = (config.normalization.apply(each.transcript) for nbest in corpus.lists for each in nbest.distinct())
    texts = [text for text in dict.fromkeys(normalized) if text]
    count = min(len(texts), round(config.hypothesis_share * config.num_teacher_sentences))
    return random.Random(f"{config.seed}/hypotheses").sample(texts, count)  # noqa: S311 - no secret


def _corrupted(corpus: Corpus, text: str, seed: str) -> str:
    rng = random.Random(seed)  # noqa: S311 - no secret
    return " ".join(corpus.corruptor.corrupt(text.split(), rng).words)


def _encode(encoder: TextEncoder, texts: Sequence[str]) -> tuple[EncodedHypothesis, ...]:
    return tuple(encoder.encode(texts, "", NO_NORMALIZATION, uses_context=False)) if texts else ()

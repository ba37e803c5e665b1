"""Which sentences a teacher judges: those that its student learns from, and pairs of held-out ones to tell apart."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.sentences import AS_IT_IS, reading_order
from lorb_adapters.text import EncodedHypothesis, TextEncoder

# For so many sentences to learn from, a pair of a held-out one and its corrupted copy; not more than the most.
_PAIR_ONE_IN, _MOST_PAIRS = 50, 400


@dataclass(frozen=True, slots=True)
class TeacherTexts:
    """Sentences, encoded.

    Attributes:
        learnt: the student's.
        num_hypotheses: how many of these are hypotheses of a recogniser.
        true, corrupted: [pairs] held-out sentences, and a copy of each with a word or more changed.
    """

    learnt: tuple[EncodedHypothesis, ...]
    num_hypotheses: int
    true: tuple[EncodedHypothesis, ...]
    corrupted: tuple[EncodedHypothesis, ...]

    @classmethod
    def draw(cls, material: Corpus, config: BuildConfig, encoder: TextEncoder) -> "TeacherTexts":
        """Hypotheses of the lists, and sentences behind those of masked-LM training, corrupted as for detection."""
        hypotheses = _drawn_hypotheses(material, config)
        start = config.num_sentences
        places = range(start, start + config.num_teacher_sentences - len(hypotheses))
        order = reading_order(len(material.sentences), config.seed, places.start, places.stop)
        sentences = [
            _corrupted(material, material.sentences[number], f"{config.seed}/teacher/{place}")
            for place, number in zip(places, order, strict=True)
        ]
        num_pairs = min(_MOST_PAIRS, max(1, config.num_teacher_sentences // _PAIR_ONE_IN))
        pairs = [
            (text, _corrupted(material, text, f"{config.seed}/held out/{place}"))
            for place, text in enumerate(material.sentences.held_out)
        ]
        differing = [(true, corrupted) for true, corrupted in pairs if true != corrupted][:num_pairs]
        return cls(
            _encoded(encoder, [*hypotheses, *sentences]),
            len(hypotheses),
            _encoded(encoder, [true for true, _ in differing]),
            _encoded(encoder, [corrupted for _, corrupted in differing]),
        )

    @property
    def rows(self) -> tuple[EncodedHypothesis, ...]:
        """All of them: learnt, true, corrupted."""
        return (*self.learnt, *self.true, *self.corrupted)


def _drawn_hypotheses(material: Corpus, config: BuildConfig) -> list[str]:
    """Texts of the lists, each once, as many as `hypothesis_share` asks for or there are, in a drawn order."""
    normalized = (config.normalization.apply(each.transcript) for nbest in material.lists for each in nbest.distinct())
    texts = [text for text in dict.fromkeys(normalized) if text]
    wanted = min(len(texts), round(config.hypothesis_share * config.num_teacher_sentences))
    return random.Random(f"{config.seed}/hypotheses").sample(texts, wanted)  # noqa: S311 - an order, not a secret


def _corrupted(material: Corpus, text: str, key: str) -> str:
    rng = random.Random(key)  # noqa: S311 - corruption, not a secret
    return " ".join(material.corruptor.corrupt(text.split(), rng).words)


def _encoded(encoder: TextEncoder, texts: Sequence[str]) -> tuple[EncodedHypothesis, ...]:
    return tuple(encoder.encode(texts, "", AS_IT_IS, uses_context=False)) if texts else ()

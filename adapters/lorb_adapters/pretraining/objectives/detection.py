"""Telling wrong words: an encoder and a linear score a token, whose sum over a transcript is its rescoring score.

The score of a token, z = w h + b, is linear in the hidden state, as a served head must be, and is added up as it is. So
z itself has to be worth adding: near 0 for every word that is surely right, about log P(right) for a doubtful one. The
logit of a detector (ELECTRA, arXiv 2003.10555) is not: it grows without bound with certainty, and a sum of it rewards
length and how sure the model is of the easy words, which drowns the few tokens in which hypotheses differ. What is
minimised here is the logistic loss with a target of 1/2 for right tokens and 0 for wrong ones,

    L(z) = -(t log s(z) + (1 - t) log s(-z)),    s(z) = 1 / (1 + exp(-z)),  t = 1/2 (right) or 0 (wrong).

It is proper: where a token is right with probability q, the best z has s(z) = q / 2, hence

    z = log q - log(2 - q):    0 where q = 1, and within log 2 of log q everywhere.

The sum head is then the log-likelihood that all words are right, but for that bounded term, without a second model that
distils it. P(right) is read back as 2 s(z).

On 1,279 LibriSpeech lists (train and dev of tests/data/librispeech), MiniLM after 25,000 book sentences, three minutes:
WER 13.51 becomes 13.10 by this score, 13.14 by its exact log P(right). An ordinary detector, for which every token of a
wrong word is wrong, gave 13.29 by its logits and 13.22 by its log P(right) after the same sentences.

The verdict on a word stands at its first token, its other tokens are 0: a rare word of five pieces weighs as much as a
common one of one piece, as it does in the word error rate. A missing word is charged to the word behind it, or to the
closing separator.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lorb_adapters.pretraining.corpus.corruption import CorruptedSentence
from lorb_adapters.pretraining.corpus.sentences import AS_IT_IS
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.text import EncodedHypothesis, TextEncoder

_RIGHT_TARGET = 0.5


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One corrupted sentence as the model reads it.

    Attributes:
        row: its tokens.
        wrong: [scored tokens] whether each carries the verdict "wrong".
        judged: [scored tokens] whether it stands for a word or the sentence's end: a first token.
    """

    row: EncodedHypothesis
    wrong: tuple[bool, ...]
    judged: tuple[bool, ...]


def label(sentences: Sequence[CorruptedSentence], encoder: TextEncoder) -> list[LabelledRow]:
    """Encodes sentences, sorted by length, and finds which tokens are wrong."""
    labelled = []
    texts = [" ".join(each.words) for each in sentences]
    for sentence, (row, words) in zip(sentences, encoder.encode_with_words(texts, AS_IT_IS), strict=True):
        scored = words[row.scored_from :]
        judged = tuple(word != before for word, before in zip(scored, (-1, *scored), strict=False))
        wrong = tuple(sentence.wrong[word] and first for word, first in zip(scored, judged, strict=True))
        labelled.append(LabelledRow(row, wrong, judged))
    return sorted(labelled, key=lambda each: each.row.num_tokens)


def detection_loss(scores: Tensor, wrong: Tensor) -> Tensor:
    """The mean of L over tokens, in nats. scores: [tokens] z, fp32; wrong: [tokens] bool."""
    return functional.binary_cross_entropy_with_logits(scores, torch.where(wrong, 0.0, _RIGHT_TARGET))


def probability_right(scores: Tensor) -> Tensor:
    """P(right) of tokens from their scores, any shape."""
    return (scores.sigmoid() / _RIGHT_TARGET).clamp(max=1.0)


class Detector(EncoderTrainer):
    """An encoder and a sum head, read token by token."""

    name = "detector"

    def token_scores(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Scores of the scored tokens of rows sorted by length, end to end, [tokens] fp32, with gradients."""
        packed = self._pack(rows)
        hidden = self._hidden(rows, packed, None)[packed.scored_positions]
        return hidden.float() @ self.head.weight + self.head.bias


@dataclass(frozen=True, slots=True)
class Detection:
    """How well wrong words are told on sentences held out. Counts of words, sentences' ends included.

    Attributes:
        words: all of them.
        wrong: corrupted.
        flagged: P(right) below 1/2.
        found: both.
        loss: mean of L over the tokens that stand for words, nats.
    """

    words: int
    wrong: int
    flagged: int
    found: int
    loss: float

    @property
    def accuracy_percent(self) -> float:
        """Words judged as they are; `100 - wrong` is what calling all of them right gives."""
        return 100 * (self.words - self.wrong - self.flagged + 2 * self.found) / self.words

    @property
    def precision_percent(self) -> float:
        """Of the flagged words, those that were wrong; 0 where none is flagged."""
        return 100 * self.found / max(1, self.flagged)

    @property
    def recall_percent(self) -> float:
        """Of the wrong words, those flagged; 0 where none is wrong."""
        return 100 * self.found / max(1, self.wrong)

    def to_json(self) -> dict[str, dict[str, float]]:
        """The figures by name, under the measurement's own."""
        shares = {
            "accuracy_percent": self.accuracy_percent,
            "precision_percent": self.precision_percent,
            "recall_percent": self.recall_percent,
        }
        return {"detection": asdict(self) | shares}

    def table(self) -> tuple[str, list[tuple[str, str]]]:
        """A title, and the figures as people read them."""
        return "Wrong words told, on held-out sentences", [
            ("words, sentences' ends included", f"{self.words:,}"),
            ("wrong", f"{self.wrong:,} ({100 * self.wrong / self.words:.1f}%)"),
            ("accuracy", f"{self.accuracy_percent:.2f}%"),
            ("precision of P(right) < 1/2", f"{self.precision_percent:.1f}%"),
            ("recall", f"{self.recall_percent:.1f}%"),
            ("loss", f"{self.loss:.4f}"),
        ]

    @classmethod
    def measure(cls, scores: Tensor, wrong: Tensor, judged: Tensor) -> "Detection":
        """All [tokens]: scores z, fp32; wrong and judged, bool."""
        z, is_wrong = scores[judged], wrong[judged]
        flagged = probability_right(z) < 0.5
        return cls(
            words=len(z),
            wrong=int(is_wrong.sum()),
            flagged=int(flagged.sum()),
            found=int((flagged & is_wrong).sum()),
            loss=float(detection_loss(z, is_wrong)),
        )

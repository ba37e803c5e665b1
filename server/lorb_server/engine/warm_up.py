"""Runs the model before the server reports SERVING: this tests the model and measures its passes."""

import time
from collections.abc import Callable, Sequence

from lorb.errors import InvalidInput
from lorb_adapters.lora.head import SUM, HeadWeights
from lorb_adapters.lora.weights import base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis, TextNormalization
from lorb_server.setting import flag

TYPICAL_WORDS = 16  # words of a typical hypothesis


def check_budget(model: RescoringModel, max_batch_tokens: int, setting: str = "max_batch_tokens") -> None:
    """Raises InvalidInput, naming `setting`, if a batch has no room for the base's longest hypothesis."""
    longest = model.base.text_encoder.max_tokens
    if max_batch_tokens < longest:
        raise InvalidInput(
            f"{flag(setting)} is {max_batch_tokens}, but one hypothesis may have {longest} tokens on base "
            f"{model.base.name}: give {longest} or more",
            field=setting,
        )


def warm_up(
    model: RescoringModel, max_batch_tokens: int, clock: Callable[[], float] = time.monotonic
) -> list[tuple[int, float]]:
    """Runs the largest allowed pass, of the longest hypotheses; then times typical hypotheses.

    Returns the tokens and the seconds of passes of three sizes. Each size runs twice, and only the second pass is
    timed. Belongs to a worker. All workers do it at once, as they run under load. Raises what the model raises.
    """
    row, longest = encode_repeated(model, TYPICAL_WORDS, model.base.text_encoder.max_tokens)
    score_rows(model, [longest] * (max_batch_tokens // longest.num_tokens))
    measured = []
    for divisor in (16, 4, 1):
        rows = [row] * max(1, max_batch_tokens // divisor // row.num_tokens)
        score_rows(model, rows)
        started = clock()
        score_rows(model, rows)
        measured.append((row.num_tokens * len(rows), clock() - started))
    return measured


def health_check(model: RescoringModel) -> None:
    """Scores one short hypothesis. Raises what the model raises. Belongs to the model's worker."""
    score_rows(model, encode_repeated(model, 1))


def encode_repeated(model: RescoringModel, *num_words: int) -> list[EncodedHypothesis]:
    """Hypotheses of a repeated word, one for each number of words."""
    texts = [" ".join(["a"] * count) for count in num_words]
    return model.base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)


def score_rows(model: RescoringModel, rows: Sequence[EncodedHypothesis]) -> None:
    """Scores rows under the base alone, without a head's result."""
    base = model.base
    weights = base_only_weights(HeadWeights.zeros(SUM, base.hidden_size)).to(base.device, base.dtype)
    model.score(rows, [weights], [0] * len(rows))

"""Runs the model before the server reports SERVING: this tests the model and trains the cost model."""

import time
from collections.abc import Callable, Sequence

from lorb.errors import InvalidInput
from lorb_adapters.lora.head import SUM, HeadWeights
from lorb_adapters.lora.weights import base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis, TextNormalization
from lorb_server.engine.scheduling.cost_model import CostModel
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
    model: RescoringModel,
    max_batch_tokens: int,
    cost: CostModel,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Runs the largest allowed pass, of the longest hypotheses; then trains `cost` on typical hypotheses.

    `cost` learns from passes of three sizes. Each size runs twice, and only the second pass is timed. Belongs to the
    model thread. Raises what the model raises.
    """
    row, longest = _encode(model, TYPICAL_WORDS, model.base.text_encoder.max_tokens)
    _score(model, [longest] * (max_batch_tokens // longest.num_tokens))
    for divisor in (16, 4, 1):
        rows = [row] * max(1, max_batch_tokens // divisor // row.num_tokens)
        _score(model, rows)
        started = clock()
        _score(model, rows)
        cost.observe(row.num_tokens * len(rows), clock() - started)


def health_check(model: RescoringModel) -> None:
    """Scores one short hypothesis. Raises what the model raises. Belongs to the model thread."""
    _score(model, _encode(model, 1))


def _encode(model: RescoringModel, *num_words: int) -> list[EncodedHypothesis]:
    texts = [" ".join(["a"] * count) for count in num_words]
    return model.base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)


def _score(model: RescoringModel, rows: Sequence[EncodedHypothesis]) -> None:
    base = model.base
    weights = base_only_weights(HeadWeights.zeros(SUM, base.hidden_size)).to(base.device, base.dtype)
    model.score(rows, [weights], [0] * len(rows))

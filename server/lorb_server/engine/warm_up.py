"""The passes that must succeed before the server says that it serves, and that teach it what a pass takes."""

import time
from collections.abc import Callable, Sequence

from lorb.errors import InvalidInput
from lorb_adapters.lora.head import SUM, HeadWeights
from lorb_adapters.lora.weights import base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis, TextNormalization
from lorb_server.engine.cost_model import CostModel
from lorb_server.setting import flag

USUAL_ROW_WORDS = 16


def check_budget(model: RescoringModel, max_batch_tokens: int, setting: str = "max_batch_tokens") -> None:
    """Raises InvalidInput, naming `setting`, where a pass could not hold the longest row that the base takes."""
    longest = model.base.text_encoder.max_tokens
    if max_batch_tokens < longest:
        raise InvalidInput(
            f"{flag(setting)} is {max_batch_tokens}, and one hypothesis may have {longest} tokens on base "
            f"{model.base.name}: give {longest} or more",
            field=setting,
        )


def warm_up(
    model: RescoringModel,
    max_batch_tokens: int,
    cost: CostModel,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Tries a pass as large as the budget allows, and lets `cost` learn from passes of usual rows.

    Belongs to the model thread.
    """
    row, longest = _rows(model, USUAL_ROW_WORDS, model.base.text_encoder.max_tokens)
    _score(model, [longest] * (max_batch_tokens // longest.num_tokens))
    for share in (16, 4, 1):
        rows = [row] * max(1, max_batch_tokens // share // row.num_tokens)
        _score(model, rows)
        started = clock()
        _score(model, rows)
        cost.observe(row.num_tokens * len(rows), clock() - started)


def probe(model: RescoringModel) -> None:
    """Scores one short row; raises where the model scores nothing any more. Belongs to the model thread."""
    _score(model, _rows(model, 1))


def _rows(model: RescoringModel, *num_words: int) -> list[EncodedHypothesis]:
    texts = [" ".join(["a"] * count) for count in num_words]
    return model.base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)


def _score(model: RescoringModel, rows: Sequence[EncodedHypothesis]) -> None:
    base = model.base
    weights = base_only_weights(HeadWeights.zeros(SUM, base.hidden_size)).to(base.device, base.dtype)
    model.score(rows, [weights], [0] * len(rows))

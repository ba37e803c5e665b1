"""The pass that must succeed before the server says that it serves."""

from lorb.errors import InvalidInput
from lorb_adapters.head import SUM, HeadWeights
from lorb_adapters.lora import base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization


def check_budget(model: RescoringModel, max_batch_tokens: int) -> None:
    """Raises InvalidInput where a pass could not hold the longest row that the base takes."""
    longest = model.base.text_encoder.max_tokens
    if max_batch_tokens < longest:
        raise InvalidInput(
            f"--max-batch-tokens is {max_batch_tokens}, and one hypothesis may have {longest} tokens on base "
            f"{model.base.name}: give {longest} or more",
            field="max_batch_tokens",
        )


def warm_up(model: RescoringModel, max_batch_tokens: int) -> None:
    """Scores a short row, then a pass as large as the budget allows. Belongs to the model thread."""
    base = model.base
    head = HeadWeights.zeros(SUM, base.hidden_size)
    weights = base_only_weights(head).to(base.device, base.dtype)
    longest = base.text_encoder.max_tokens
    texts = ["a", " ".join(["a"] * longest)]
    short, long = base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)
    for rows in ([short], [long] * (max_batch_tokens // longest)):
        model.score(rows, [weights], [0] * len(rows))

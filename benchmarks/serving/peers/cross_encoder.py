"""Scores lists with sentence-transformers' CrossEncoder, whose `predict()` sorts by length into batches of 32.

It reads pairs of an empty text and a hypothesis. LoRB is measured on the same pairs.
"""

from collections.abc import Sequence

import torch
from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from models import Prepared as PreparedModel
from peers.peer import Prepared
from peers.peft_model import ScoringPeftModel
from workload import TaggedList


class MergedCrossEncoder:
    """Scores every list with the first domain's adapter, merged into its weights. Tokenisation is timed."""

    def __init__(self, prepared: PreparedModel, dtype: torch.dtype) -> None:
        self._model = CrossEncoder(str(prepared.base), num_labels=1, activation_fn=nn.Identity(), device="cpu")
        adapted = ScoringPeftModel(prepared, torch.float32, num_adapters=1)
        weight, bias = adapted.head(0)
        classifier = self._model.model
        classifier.bert.load_state_dict(adapted.merge().state_dict(), strict=False)  # all but the pooler
        classifier.bert.pooler = _FirstToken()  # LoRB's head has no pooler
        classifier.classifier.load_state_dict({"weight": weight[None], "bias": bias[None]})
        self._model.to(dtype)

    def prepare(self, lists: Sequence[TaggedList]) -> Prepared:
        """Flattens the lists into pairs."""
        pairs = [("", text) for each in lists for text in each.texts]
        return Prepared(lambda: self._model.predict(pairs, show_progress_bar=False).tolist(), len(pairs), 0)


class _FirstToken(nn.Module):
    """Takes the first token's state for the classifier."""

    def forward(self, states: Tensor) -> Tensor:
        """states: [rows, tokens, hidden]; returns [rows, hidden]."""
        return states[:, 0]

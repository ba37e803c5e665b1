"""The head that fills in masked tokens: dense, activation, LayerNorm, and the word embeddings transposed, with a bias.

    logits(h) = E LayerNorm(activation(W h + b)) + c        E: [vocabulary, embedding] the encoder's own word embeddings

BERT, RoBERTa and ELECTRA's generator all have it so; only the names in their checkpoints differ.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForMaskedLM
from transformers.activations import ACT2FN
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging as transformers_logging

from lorb_adapters.base.delta import BaseDelta
from lorb_adapters.base.loader import Base
from lorb_adapters.base.named import base_source
from lorb_adapters.text import EncodedHypothesis

DENSE_WEIGHT, DENSE_BIAS = "mlm.dense.weight", "mlm.dense.bias"
NORM_WEIGHT, NORM_BIAS, BIAS = "mlm.norm.weight", "mlm.norm.bias", "mlm.bias"
# Where transformers' models have dense, norm and bias.
_BERT = ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias")
_ROBERTA = ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
_ELECTRA = ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias")
_PLACES = {"bert": _BERT, "electra": _ELECTRA}  # all others are RoBERTa's kin


@dataclass(frozen=True, slots=True)
class MaskedLmHead:
    """All of the head but the word embeddings.

    Attributes:
        tensors: mlm.dense.weight [embedding, hidden], mlm.dense.bias, mlm.norm.weight and mlm.norm.bias [embedding],
            mlm.bias [vocabulary]; fp32, on the CPU.
        activation: of any shape; leaves its argument as it is.
        epsilon: of the LayerNorm.
        is_fresh: whether it has yet to be trained.
    """

    tensors: Mapping[str, Tensor]
    activation: Callable[[Tensor], Tensor]
    epsilon: float
    is_fresh: bool

    @classmethod
    def of(cls, base: Base, seed: int) -> "MaskedLmHead":
        """The head in the base's own folder, or a fresh one drawn from `seed`, which leaves all tokens as likely."""
        config = encoder_config(base)
        activation: Callable[[Tensor], Tensor] = ACT2FN[config.hidden_act if config.model_type == "bert" else "gelu"]
        carried = _carried(base.name, config)
        if carried is not None:
            return cls(carried, activation, config.layer_norm_eps, is_fresh=False)
        vocabulary, embedding = word_embeddings(base).shape
        dense = torch.empty(embedding, base.hidden_size)
        dense.normal_(std=config.initializer_range, generator=torch.Generator().manual_seed(seed))
        tensors = {
            DENSE_WEIGHT: dense,
            DENSE_BIAS: torch.zeros(embedding),
            NORM_WEIGHT: torch.ones(embedding),
            NORM_BIAS: torch.zeros(embedding),
            BIAS: torch.zeros(vocabulary),
        }
        return cls(tensors, activation, config.layer_norm_eps, is_fresh=True)

    @property
    def digest(self) -> str:
        """Sha256 of the tensors, in hex."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def logits(self, hidden: Tensor, tensors: Mapping[str, Tensor], embeddings: Tensor) -> Tensor:
        """[tokens, vocabulary] fp32, from [tokens, hidden] in the dtype of the products; with gradients.

        tensors: trained values of the names above; embeddings: [vocabulary, embedding].
        """
        dtype = hidden.dtype
        x = functional.linear(hidden, tensors[DENSE_WEIGHT].to(dtype), tensors[DENSE_BIAS].to(dtype))
        x = self.activation(x.float())
        x = functional.layer_norm(x, x.shape[-1:], tensors[NORM_WEIGHT], tensors[NORM_BIAS], self.epsilon)
        return functional.linear(x.to(dtype), embeddings.to(dtype)).float() + tensors[BIAS]


def word_embeddings(base: Base) -> Tensor:
    """[vocabulary, embedding], the encoder's own parameter."""
    return base.encoder.get_parameter("embeddings.word_embeddings.weight")


def encoder_config(base: Base) -> PretrainedConfig:
    """Transformers' configuration of the encoder."""
    if not isinstance(base.encoder, PreTrainedModel):
        raise TypeError("the encoder is no model of transformers")
    return base.encoder.config


def log_frequencies(rows: Iterable[EncodedHypothesis], vocabulary: int) -> Tensor:
    """Log P(token) by counts in `rows`, one more for each, [vocabulary] fp32: what a fresh head's bias begins with."""
    ids = torch.tensor([token for row in rows for token in row.token_ids])
    counts = torch.bincount(ids, minlength=vocabulary) + 1
    return (counts / counts.sum()).log().float()


def _carried(name: str, config: PretrainedConfig) -> dict[str, Tensor] | None:
    """The head of a masked-LM checkpoint; None where there is none, or one whose decoder is not tied."""
    source = base_source(name)
    if BaseDelta.read(Path(source)) is not None:
        return None
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)  # a head that is not there is no news
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, info = AutoModelForMaskedLM.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    finally:
        transformers_logging.set_verbosity(verbosity)
    dense, norm, bias = _PLACES.get(config.model_type, _ROBERTA)
    places = {
        DENSE_WEIGHT: f"{dense}.weight",
        DENSE_BIAS: f"{dense}.bias",
        NORM_WEIGHT: f"{norm}.weight",
        NORM_BIAS: f"{norm}.bias",
        BIAS: bias,
    }
    is_tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    if not is_tied or set(info["missing_keys"]) & set(places.values()):
        return None
    weights = model.state_dict()
    return {name: weights[place].clone() for name, place in places.items()}

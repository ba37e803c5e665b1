"""The masked-LM head: dense layer, activation, LayerNorm, and a decoder tied to the word embeddings, with a bias.

    logits(h) = E LayerNorm(activation(W h + b)) + c        E: the encoder's word embeddings, [vocabulary, embedding]

BERT, RoBERTa and ELECTRA's generator share this head; only the names in their checkpoints differ.
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
# Names of dense layer, LayerNorm and bias in transformers' models.
_BERT = ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias")
_ROBERTA = ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
_ELECTRA = ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias")
_CHECKPOINT_NAMES = {"bert": _BERT, "electra": _ELECTRA}  # all other families use RoBERTa's names


@dataclass(frozen=True, slots=True)
class MaskedLmHead:
    """The head without the word embeddings.

    Attributes:
        tensors: mlm.dense.weight [embedding, hidden], mlm.dense.bias, mlm.norm.weight and mlm.norm.bias [embedding],
            mlm.bias [vocabulary]; fp32, on the CPU.
        activation: elementwise function, not in place.
        epsilon: constant added to the variance in the LayerNorm.
        is_untrained: whether the tensors are initial values.
    """

    tensors: Mapping[str, Tensor]
    activation: Callable[[Tensor], Tensor]
    epsilon: float
    is_untrained: bool

    @classmethod
    def of(cls, base: Base, seed: int) -> "MaskedLmHead":
        """Returns the head in the base's checkpoint, or an untrained head if the checkpoint has none.

        An untrained head has dense weights drawn from `seed`, and biases of 0.
        """
        config = encoder_config(base)
        activation: Callable[[Tensor], Tensor] = ACT2FN[config.hidden_act if config.model_type == "bert" else "gelu"]
        pretrained = _pretrained(base.name, config)
        if pretrained is not None:
            return cls(pretrained, activation, config.layer_norm_eps, is_untrained=False)
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
        return cls(tensors, activation, config.layer_norm_eps, is_untrained=True)

    @property
    def digest(self) -> str:
        """SHA-256 of the tensors, in hex."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def logits(self, hidden: Tensor, tensors: Mapping[str, Tensor], embeddings: Tensor) -> Tensor:
        """Logits, [tokens, vocabulary] fp32, with gradients.

        hidden: hidden states, [tokens, hidden], in the dtype of the products. tensors: current values by the names in
        `MaskedLmHead.tensors`. embeddings: the encoder's word embeddings, [vocabulary, embedding].
        """
        dtype = hidden.dtype
        x = functional.linear(hidden, tensors[DENSE_WEIGHT].to(dtype), tensors[DENSE_BIAS].to(dtype))
        x = self.activation(x.float())
        x = functional.layer_norm(x, x.shape[-1:], tensors[NORM_WEIGHT], tensors[NORM_BIAS], self.epsilon)
        return functional.linear(x.to(dtype), embeddings.to(dtype)).float() + tensors[BIAS]


def word_embeddings(base: Base) -> Tensor:
    """The encoder's word embeddings, [vocabulary, embedding]: the parameter itself, not a copy."""
    return base.encoder.get_parameter("embeddings.word_embeddings.weight")


def encoder_config(base: Base) -> PretrainedConfig:
    """The encoder's transformers configuration."""
    if not isinstance(base.encoder, PreTrainedModel):
        raise TypeError("the encoder is not a transformers model")
    return base.encoder.config


def log_frequencies(rows: Iterable[EncodedHypothesis], vocabulary: int) -> Tensor:
    """Log P(token) from counts in `rows` with add-one smoothing, [vocabulary] fp32."""
    ids = torch.tensor([token for row in rows for token in row.token_ids])
    counts = torch.bincount(ids, minlength=vocabulary) + 1
    return (counts / counts.sum()).log().float()


def _pretrained(name: str, config: PretrainedConfig) -> dict[str, Tensor] | None:
    """Returns a checkpoint's head; None if it is a base delta, has no head, or has an untied decoder."""
    source = base_source(name)
    if BaseDelta.read(Path(source)) is not None:
        return None
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)  # hides the warning about a missing head
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, info = AutoModelForMaskedLM.from_pretrained(
            source, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    finally:
        transformers_logging.set_verbosity(verbosity)
    dense, norm, bias = _CHECKPOINT_NAMES.get(config.model_type, _ROBERTA)
    checkpoint_names = {
        DENSE_WEIGHT: f"{dense}.weight",
        DENSE_BIAS: f"{dense}.bias",
        NORM_WEIGHT: f"{norm}.weight",
        NORM_BIAS: f"{norm}.bias",
        BIAS: bias,
    }
    is_tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    if not is_tied or set(info["missing_keys"]) & set(checkpoint_names.values()):
        return None
    weights = model.state_dict()
    return {name: weights[own].clone() for name, own in checkpoint_names.items()}

"""Low-rank adapters: their weights, and the encoder's linear layers that apply any mix of them in one pass.

h = W0 x + scaling * B A x   (Hu et al. 2021); W0 is never written to.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorb.errors import InvalidAdapter
from lorb_adapters.head import HeadWeights

# Every linear layer of a BERT block, by the last part of its path; "dense" are three of the six.
ALL_LINEAR = ("query", "key", "value", "dense")

_PEFT_KEY = "base_model.model.{site}.lora_{matrix}.weight"
_PEFT_DEFAULTS: dict[str, Any] = {
    "peft_type": "LORA",
    "bias": "none",
    "exclude_modules": ["pooler.dense"],  # a `dense` by name, but no layer of the encoder
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "lora_dropout": 0.0,
    "modules_to_save": None,
    "task_type": "FEATURE_EXTRACTION",
}


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """The shape of an adapter, as peft names it.

    Attributes:
        rank: columns of A, rows of B.
        alpha: scaling is alpha / rank (alpha / sqrt(rank) with `use_rslora`).
        target_modules: last parts of the paths of the linear layers adapted.
        use_rslora: rank-stabilised scaling (Kalajdzievski 2023).
    """

    rank: int = 8
    alpha: float = 16.0
    target_modules: tuple[str, ...] = ALL_LINEAR
    use_rslora: bool = False

    @property
    def scaling(self) -> float:
        """What B A x is multiplied with."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    def to_peft_json(self, base_name: str) -> dict[str, Any]:
        """`adapter_config.json` as peft reads it."""
        return _PEFT_DEFAULTS | {
            "base_model_name_or_path": base_name,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "target_modules": list(self.target_modules),
            "use_rslora": self.use_rslora,
        }

    @classmethod
    def from_peft_json(cls, value: Mapping[str, Any]) -> "LoraConfig":
        """Reads a strict subset of peft's configuration; raises InvalidAdapter naming the key it cannot serve."""
        known = {
            *_PEFT_DEFAULTS,
            "base_model_name_or_path",
            "r",
            "lora_alpha",
            "target_modules",
            "use_rslora",
        }
        for key in ("peft_type", "bias", "exclude_modules", "fan_in_fan_out", "modules_to_save"):
            if value.get(key, _PEFT_DEFAULTS[key]) != _PEFT_DEFAULTS[key]:
                raise _invalid(key, f"is {value[key]!r}, LoRB serves {_PEFT_DEFAULTS[key]!r}")
        for key in value.keys() - known:
            if value[key]:  # peft writes its unused options as null, false or empty
                raise _invalid(key, f"is {str(value[key])[:80]!r}, which LoRB does not serve")
        rank, alpha = value.get("r"), value.get("lora_alpha")
        targets, use_rslora = value.get("target_modules"), value.get("use_rslora", False)
        if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= 1024:
            raise _invalid("r", f"is {rank!r}, not a rank from 1 to 1024")
        if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha < math.inf:
            raise _invalid("lora_alpha", f"is {alpha!r}, not a number above 0")
        if not isinstance(targets, list) or not targets or not all(t in ALL_LINEAR for t in targets):
            raise _invalid("target_modules", f"is {targets!r}, not a list of {', '.join(ALL_LINEAR)}")
        if not isinstance(use_rslora, bool):
            raise _invalid("use_rslora", f"is {use_rslora!r}, not true or false")
        return cls(rank, float(alpha), tuple(sorted(set(targets), key=ALL_LINEAR.index)), use_rslora)


def _invalid(key: str, problem: str) -> InvalidAdapter:
    return InvalidAdapter(f"adapter_config.json: {key} {problem}", field=key)


@dataclass(frozen=True, slots=True)
class AdapterWeights:
    """All that one adapter adds to the base.

    Attributes:
        config: its shape.
        lora: for each site (module path in the encoder) A [rank, in] and B [out, rank].
        head: its score head, fp32.
    """

    config: LoraConfig
    lora: Mapping[str, tuple[Tensor, Tensor]]
    head: HeadWeights

    @property
    def num_parameters(self) -> int:
        """Trained parameters, the head's included."""
        return sum(a.numel() + b.numel() for a, b in self.lora.values()) + self.head.weight.numel() + 1

    @property
    def size_bytes(self) -> int:
        """Memory the tensors take."""
        pairs = [tensor for pair in self.lora.values() for tensor in pair]
        return sum(t.numel() * t.element_size() for t in [*pairs, self.head.weight, self.head.bias])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "AdapterWeights":
        """The same adapter on another device, its LoRA matrices in `dtype`."""
        return AdapterWeights(
            self.config,
            {site: (a.to(device, dtype), b.to(device, dtype)) for site, (a, b) in self.lora.items()},
            HeadWeights(self.head.kind, self.head.weight.to(device), self.head.bias.to(device)),
        )


def lora_sites(encoder: nn.Module, target_modules: Sequence[str]) -> dict[str, nn.Linear]:
    """The encoder's linear layers that an adapter with these targets covers, by module path, in forward order."""
    sites: dict[str, nn.Linear] = {}
    for path, module in encoder.named_modules():
        linear = module.base if isinstance(module, LoraSite) else module
        name = path.rpartition(".")[2]
        if isinstance(linear, nn.Linear) and name in target_modules and "pooler" not in path:
            sites[path] = linear
    return sites


@dataclass(slots=True)
class LoraPass:
    """Which adapter applies to which tokens in the pass that is running; one for each model.

    segments: (first token, end, adapter), in order and without overlap; tokens outside have the base alone.
    """

    segments: tuple[tuple[int, int, AdapterWeights], ...] = field(default=())


class LoraSite(nn.Module):
    """A linear layer of the base with the running pass's adapters beside it."""

    def __init__(self, base: nn.Linear, path: str, running: LoraPass) -> None:
        super().__init__()
        self.base = base
        self.path = path
        self.running = running

    def forward(self, x: Tensor) -> Tensor:
        """x: [1, tokens, in]; returns [1, tokens, out]."""
        segments = [
            (start, stop, weights.lora[self.path], weights.config.scaling)
            for start, stop, weights in self.running.segments
            if self.path in weights.lora
        ]
        if torch.is_grad_enabled():
            return self._with_gradient(x, segments)
        out = functional.linear(x, self.base.weight, self.base.bias)
        for start, stop, (a, b), scaling in segments:
            out[0, start:stop].addmm_(x[0, start:stop] @ a.T, b.T, alpha=scaling)
        return out

    def _with_gradient(self, x: Tensor, segments: Sequence[tuple[int, int, tuple[Tensor, Tensor], float]]) -> Tensor:
        if not segments:
            return functional.linear(x, self.base.weight, self.base.bias)
        if len(segments) > 1 or segments[0][:2] != (0, x.shape[1]):
            raise ValueError("gradients flow through one adapter over all tokens, not through a mix")
        [(_, _, (a, b), scaling)] = segments
        out: Tensor = _LoraLinear.apply(x[0], self.base.weight, self.base.bias, a, b, scaling)  # type: ignore[no-untyped-call]
        return out[None]


class _LoraLinear(torch.autograd.Function):
    """y = x W0^T + bias + scaling (x A^T) B^T, with gradients to x, A and B alone.

    Autograd's own operators would compute the same with a temporary of x's size for each scaling and each sum.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch has no public type for it
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scaling: float,
    ) -> Tensor:
        low_rank = x @ a.T  # [tokens, rank]
        ctx.save_for_backward(x, weight, a, b, low_rank)
        ctx.scaling = scaling
        return functional.linear(x, weight, bias).addmm_(low_rank, b.T, alpha=scaling)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, a, b, low_rank = ctx.saved_tensors
        grad_low_rank = (grad @ b) * ctx.scaling  # [tokens, rank]
        grad_x = (grad @ weight).addmm_(grad_low_rank, a) if ctx.needs_input_grad[0] else None
        grad_b = (grad.T @ low_rank) * ctx.scaling
        return grad_x, None, None, grad_low_rank.T @ x, grad_b, None


def inject(encoder: nn.Module) -> LoraPass:
    """Puts a LoraSite in place of every linear layer that an adapter may target; returns the pass they follow."""
    running = LoraPass()
    for path, linear in lora_sites(encoder, ALL_LINEAR).items():
        parent, _, name = path.rpartition(".")
        setattr(encoder.get_submodule(parent), name, LoraSite(linear, path, running))
    return running


def fresh_weights(
    encoder: nn.Module, config: LoraConfig, head: HeadWeights, generator: torch.Generator
) -> AdapterWeights:
    """An adapter that changes nothing yet: A Kaiming-uniform(sqrt 5), B zero (loralib's initialisation)."""
    lora = {}
    for path, linear in lora_sites(encoder, config.target_modules).items():
        bound = 1 / math.sqrt(linear.in_features)  # kaiming_uniform_ with a = sqrt(5)
        a = torch.empty(config.rank, linear.in_features).uniform_(-bound, bound, generator=generator)
        lora[path] = (a, torch.zeros(linear.out_features, config.rank))
    return AdapterWeights(config, lora, head)


def adapter_state_dict(weights: AdapterWeights) -> dict[str, Tensor]:
    """The LoRA matrices in fp32 under peft's names, as `adapter_model.safetensors` holds them."""
    return {
        _PEFT_KEY.format(site=site, matrix=matrix): tensor.detach().float().cpu().contiguous()
        for site, pair in weights.lora.items()
        for matrix, tensor in zip("AB", pair, strict=True)
    }


def weights_from_state_dict(
    config: LoraConfig,
    lora_tensors: Mapping[str, Tensor],
    head_kind: str,
    head_tensors: Mapping[str, Tensor],
    sites: Mapping[str, nn.Linear],
) -> AdapterWeights:
    """Puts loaded tensors together; `sites` is what the base offers for the config's targets.

    Raises InvalidAdapter naming the key where one is missing, unexpected, of a wrong shape or not finite.
    """
    expected = {
        _PEFT_KEY.format(site=site, matrix=matrix): shape
        for site, linear in sites.items()
        for matrix, shape in (
            ("A", (config.rank, linear.in_features)),
            ("B", (linear.out_features, config.rank)),
        )
    }
    _check_tensors("adapter_model.safetensors", lora_tensors, expected)
    hidden_size = next(iter(sites.values())).in_features
    _check_tensors("head.safetensors", head_tensors, {"weight": (hidden_size,), "bias": ()})
    lora = {
        site: (
            lora_tensors[_PEFT_KEY.format(site=site, matrix="A")].float(),
            lora_tensors[_PEFT_KEY.format(site=site, matrix="B")].float(),
        )
        for site in sites
    }
    head = HeadWeights(head_kind, head_tensors["weight"].float(), head_tensors["bias"].float())
    return AdapterWeights(config, lora, head)


def _check_tensors(file: str, tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    for key in expected.keys() - tensors.keys():
        raise InvalidAdapter(f"{file}: {key} is missing", field=key)
    for key in tensors.keys() - expected.keys():
        raise InvalidAdapter(f"{file}: {key} is not part of an adapter for this base", field=key)
    for key, shape in expected.items():
        tensor = tensors[key]
        if tuple(tensor.shape) != shape:
            raise InvalidAdapter(f"{file}: {key} has shape {tuple(tensor.shape)}, not {shape}", field=key)
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise InvalidAdapter(f"{file}: {key} holds values that are not finite", field=key)


def base_only_weights(head: HeadWeights) -> AdapterWeights:
    """The reserved domain `base`: the base's own head, and no LoRA."""
    return AdapterWeights(LoraConfig(), {}, head)

"""Low-rank adapters: their shape, their weights, and the files' form of both, which is peft's."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lorb.errors import InvalidAdapter
from lorb_adapters.lora.head import HeadWeights

# Every linear layer of a BERT block, by the last part of its path; "dense" are three of the six.
ALL_LINEAR = ("query", "key", "value", "dense")
# The same by the half of the block that they belong to; each of the three is named by the end of its path.
ATTENTION = ("query", "key", "value", "attention.output.dense")
FEED_FORWARD = ("intermediate.dense", "output.dense")
_ATTENTION_OUT = "attention.output.dense"
_TARGETS = (*ALL_LINEAR, _ATTENTION_OUT, "intermediate.dense", "output.dense")
_LAYER_OF_PATH = re.compile(r"(?:^|\.)layer\.(\d+)\.")

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
        target_modules: ends of the paths of the linear layers adapted, of `ALL_LINEAR`, `ATTENTION`, `FEED_FORWARD`;
            "output.dense" is the feed-forward part's alone.
        use_rslora: rank-stabilised scaling (Kalajdzievski 2023).
        layers: numbers of the encoder's layers adapted, ascending, from 0; None for all of them.
    """

    rank: int = 8
    alpha: float = 16.0
    target_modules: tuple[str, ...] = ALL_LINEAR
    use_rslora: bool = False
    layers: tuple[int, ...] | None = None

    @property
    def scaling(self) -> float:
        """What B A x is multiplied with."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    def covers(self, path: str) -> bool:
        """Whether the linear layer at `path` in the encoder is adapted."""
        if self.layers is not None:
            layer = _LAYER_OF_PATH.search(path)
            if layer is None or int(layer.group(1)) not in self.layers:
                return False
        dense = next((name for name in _TARGETS[4:] if f".{path}".endswith(f".{name}")), "")
        return path.rpartition(".")[2] in self.target_modules or dense in self.target_modules

    def to_peft_json(self, base_name: str) -> dict[str, Any]:
        """`adapter_config.json` as peft reads it."""
        excluded: list[str] = list(_PEFT_DEFAULTS["exclude_modules"])
        if "output.dense" in self.target_modules and not {"dense", _ATTENTION_OUT} & set(self.target_modules):
            excluded.append(_ATTENTION_OUT)  # which ends in "output.dense" too
        layers = {} if self.layers is None else {"layers_to_transform": list(self.layers)}
        return (
            _PEFT_DEFAULTS
            | layers
            | {
                "exclude_modules": excluded,
                "base_model_name_or_path": base_name,
                "r": self.rank,
                "lora_alpha": self.alpha,
                "target_modules": list(self.target_modules),
                "use_rslora": self.use_rslora,
            }
        )

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
            "layers_to_transform",
        }
        for key in ("peft_type", "bias", "fan_in_fan_out", "modules_to_save"):
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
        if not isinstance(targets, list) or not targets or not all(t in _TARGETS for t in targets):
            raise _invalid("target_modules", f"is {targets!r}, not a list of {', '.join(_TARGETS)}")
        if not isinstance(use_rslora, bool):
            raise _invalid("use_rslora", f"is {use_rslora!r}, not true or false")
        targets = _own_targets(set(targets), value.get("exclude_modules", _PEFT_DEFAULTS["exclude_modules"]))
        return cls(rank, float(alpha), targets, use_rslora, _layers(value.get("layers_to_transform")))


def _own_targets(targets: set[str], excluded: object) -> tuple[str, ...]:
    """What `LoraConfig` calls peft's targets and exceptions; to peft "output.dense" is the attention's too."""
    always = _PEFT_DEFAULTS["exclude_modules"]
    if excluded not in (always, [*always, _ATTENTION_OUT]):
        raise _invalid("exclude_modules", f"is {excluded!r}, LoRB serves {always!r}, with {_ATTENTION_OUT} or without")
    if excluded != always:
        targets = targets - {_ATTENTION_OUT} | (set(FEED_FORWARD) if "dense" in targets else set())
        targets -= {"dense"}
    elif "output.dense" in targets:
        targets = targets | {_ATTENTION_OUT}
    if not targets:
        raise _invalid("target_modules", "names nothing that exclude_modules leaves")
    return tuple(sorted(targets, key=_TARGETS.index))


def _layers(value: object) -> tuple[int, ...] | None:
    if value is None or value == []:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        raise _invalid("layers_to_transform", f"is {value!r}, not a list of layer numbers")
    return tuple(sorted(set(numbers)))


def _invalid(key: str, problem: str) -> InvalidAdapter:
    return InvalidAdapter(f"adapter_config.json: {key} {problem}", field=key)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class AdapterWeights:
    """All that one adapter adds to the base. Equal to itself alone, so that what is derived from it can be kept by it.

    Attributes:
        config: its shape.
        lora: for each site (module path in the encoder) A [rank, in] and B [out, rank].
        head: its score head, fp32.
    """

    config: LoraConfig
    lora: Mapping[str, tuple[Tensor, Tensor]]
    head: HeadWeights

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor, site by site, the head's last."""
        for pair in self.lora.values():
            yield from pair
        yield from (self.head.weight, self.head.bias)

    @property
    def num_parameters(self) -> int:
        """Trained parameters, the head's included."""
        return sum(tensor.numel() for tensor in self.tensors())

    @property
    def size_bytes(self) -> int:
        """Memory the tensors take."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors())

    @property
    def served_bytes(self) -> int:
        """The same with what is kept of an adapter that was served: as much again, on CUDA up to three times.

        There it is kept for segments in part, for groups and for captured passes.
        """
        copies = 1 if self.head.weight.device.type == "cpu" else 3
        return (1 + copies) * self.size_bytes

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "AdapterWeights":
        """The same adapter on another device, its LoRA matrices in `dtype`."""
        return AdapterWeights(
            self.config,
            {site: (a.to(device, dtype), b.to(device, dtype)) for site, (a, b) in self.lora.items()},
            HeadWeights(self.head.kind, self.head.weight.to(device), self.head.bias.to(device)),
        )


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
    # every site has the hidden size on one side, and on the other nothing smaller
    hidden_size = min(min(linear.in_features, linear.out_features) for linear in sites.values())
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

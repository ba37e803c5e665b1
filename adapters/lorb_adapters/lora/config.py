"""The configuration of a LoRA adapter, and its JSON form, peft's `adapter_config.json`."""

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorb.errors import InvalidAdapter

_ATTENTION_OUT = "attention.output.dense"
# All linear modules of a BERT layer, by the last part of their paths. "dense" names three of the six.
ALL_LINEAR = ("query", "key", "value", "dense")
# The linear modules of each half of a layer. Longer path suffixes tell the three "dense" apart.
ATTENTION = ("query", "key", "value", _ATTENTION_OUT)
FEED_FORWARD = ("intermediate.dense", "output.dense")
_DENSE_MODULES = (_ATTENTION_OUT, *FEED_FORWARD)
_TARGETS = (*ALL_LINEAR, *_DENSE_MODULES)
_LAYER_OF_PATH = re.compile(r"(?:^|\.)layer\.(\d+)\.")
_MAX_RANK = 1024

_PEFT_DEFAULTS: dict[str, Any] = {
    "peft_type": "LORA",
    "bias": "none",
    "exclude_modules": ["pooler.dense"],  # named `dense` too, but not part of a layer
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "lora_dropout": 0.0,
    "modules_to_save": None,
    "task_type": "FEATURE_EXTRACTION",
}
_FIXED_KEYS = ("peft_type", "bias", "fan_in_fan_out", "modules_to_save")
_OWN_KEYS = ("base_model_name_or_path", "r", "lora_alpha", "target_modules", "use_rslora", "layers_to_transform")


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """The shape of an adapter, in peft's terms.

    Attributes:
        rank: the number of rows of A and of columns of B.
        alpha: the numerator of the scaling, which is alpha / rank, or alpha / sqrt(rank) with `use_rslora`.
        target_modules: path suffixes of the adapted modules, from `ALL_LINEAR`, `ATTENTION` and `FEED_FORWARD`.
            "output.dense" does not include "attention.output.dense".
        use_rslora: whether the scaling is rank-stabilised (Kalajdzievski 2023, arXiv 2312.03732).
        layers: the numbers of the adapted layers in ascending order, counted from 0; None for all layers.
    """

    rank: int = 8
    alpha: float = 16.0
    target_modules: tuple[str, ...] = ALL_LINEAR
    use_rslora: bool = False
    layers: tuple[int, ...] | None = None

    @property
    def scaling(self) -> float:
        """The factor of B A x."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    def adapts(self, path: str) -> bool:
        """Returns whether the linear module at `path` in the encoder is adapted."""
        if self.layers is not None:
            layer = _LAYER_OF_PATH.search(path)
            if layer is None or int(layer.group(1)) not in self.layers:
                return False
        dense = next((name for name in _DENSE_MODULES if f".{path}".endswith(f".{name}")), "")
        return path.rpartition(".")[2] in self.target_modules or dense in self.target_modules

    def to_peft_json(self, base_name: str) -> dict[str, Any]:
        """Returns the content of `adapter_config.json`, as peft reads it."""
        excluded: list[str] = list(_PEFT_DEFAULTS["exclude_modules"])
        if "output.dense" in self.target_modules and not {"dense", _ATTENTION_OUT} & set(self.target_modules):
            excluded.append(_ATTENTION_OUT)  # its path ends in "output.dense" too
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
        """Reads `adapter_config.json`. Raises InvalidAdapter, naming the key, for a value that LoRB does not serve."""
        _check_served(value)
        rank, alpha = value.get("r"), value.get("lora_alpha")
        targets, use_rslora = value.get("target_modules"), value.get("use_rslora", False)
        if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= _MAX_RANK:
            raise _invalid("r", f"is {repr(rank)[:80]}, not a rank from 1 to {_MAX_RANK}")
        if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha <= sys.float_info.max:
            raise _invalid("lora_alpha", f"is {repr(alpha)[:80]}, not a finite number above 0")
        if not isinstance(targets, list) or not targets or not all(t in _TARGETS for t in targets):
            raise _invalid("target_modules", f"is {targets!r}, not a list of {', '.join(_TARGETS)}")
        if not isinstance(use_rslora, bool):
            raise _invalid("use_rslora", f"is {use_rslora!r}, not true or false")
        targets = _from_peft_targets(set(targets), value.get("exclude_modules", _PEFT_DEFAULTS["exclude_modules"]))
        return cls(rank, float(alpha), targets, use_rslora, _layers(value.get("layers_to_transform")))


def _check_served(value: Mapping[str, Any]) -> None:
    """Raises InvalidAdapter for a setting that changes the output in a way that LoRB does not compute."""
    for key in _FIXED_KEYS:
        if value.get(key, _PEFT_DEFAULTS[key]) != _PEFT_DEFAULTS[key]:
            raise _invalid(key, f"is {value[key]!r}, but LoRB serves only {_PEFT_DEFAULTS[key]!r}")
    for key in value.keys() - {*_PEFT_DEFAULTS, *_OWN_KEYS}:
        if value[key]:  # peft writes unused options as null, false or empty
            raise _invalid(key, f"is {str(value[key])[:80]!r}, which LoRB does not serve")


def _from_peft_targets(targets: set[str], excluded: object) -> tuple[str, ...]:
    """Translates peft's targets to LoRB's. In peft, "output.dense" also matches "attention.output.dense"."""
    defaults = _PEFT_DEFAULTS["exclude_modules"]
    if excluded not in (defaults, [*defaults, _ATTENTION_OUT]):
        served = f"LoRB serves {defaults!r}, alone or with {_ATTENTION_OUT!r}"
        raise _invalid("exclude_modules", f"is {excluded!r}, but {served}")
    if excluded != defaults:
        targets = targets - {_ATTENTION_OUT} | (set(FEED_FORWARD) if "dense" in targets else set())
        targets -= {"dense"}
    elif "output.dense" in targets:
        targets = targets | {_ATTENTION_OUT}
    if not targets:
        raise _invalid("target_modules", "leaves no module after exclude_modules")
    return tuple(sorted(targets, key=_TARGETS.index))


def _layers(value: object) -> tuple[int, ...] | None:
    if value is None or value == []:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        raise _invalid("layers_to_transform", f"is {value!r}, not a list of layer numbers")
    return tuple(sorted(set(numbers)))


def _invalid(key: str, problem: str) -> InvalidAdapter:
    return InvalidAdapter(f"adapter_config.json: {key[:80]} {problem[:300]}", field=key[:80])

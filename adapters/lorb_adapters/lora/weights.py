"""The weights of a LoRA adapter: initialisation, adapted modules, and peft's tensor names."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorb.errors import InvalidAdapter
from lorb_adapters.lora.config import ALL_LINEAR, LoraConfig
from lorb_adapters.lora.head import HeadWeights

_LORA_FILE, _HEAD_FILE = "adapter_model.safetensors", "head.safetensors"
_PEFT_KEY = "base_model.model.{path}.lora_{matrix}.weight"


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class AdapterWeights:
    """One adapter: the LoRA matrices of h = W0 x + scaling * B A x (Hu et al. 2021), and a score head.

    Instances compare by identity, so that caches can hold them as weak keys.

    Attributes:
        config: rank, scaling and adapted modules.
        lora: A [rank, inputs] and B [outputs, rank] of each adapted module, by its path in the encoder.
        head: the score head, fp32.
    """

    config: LoraConfig
    lora: Mapping[str, tuple[Tensor, Tensor]]
    head: HeadWeights

    def tensors(self) -> Iterator[Tensor]:
        """Yields every tensor: A and B module by module, then the head's."""
        for pair in self.lora.values():
            yield from pair
        yield from (self.head.weight, self.head.bias)

    @property
    def num_parameters(self) -> int:
        """The number of trained parameters, the head's included."""
        return sum(tensor.numel() for tensor in self.tensors())

    @property
    def size_bytes(self) -> int:
        """Memory of the tensors, in bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors())

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "AdapterWeights":
        """Returns the same adapter on another device, its LoRA matrices in `dtype`, its head in fp32."""
        return AdapterWeights(
            self.config,
            {path: (a.to(device, dtype), b.to(device, dtype)) for path, (a, b) in self.lora.items()},
            HeadWeights(self.head.kind, self.head.weight.to(device), self.head.bias.to(device)),
        )


def linear_modules(encoder: nn.Module, target_modules: Sequence[str]) -> dict[str, nn.Linear]:
    """Returns the linear modules whose paths end in a target module, by path, in forward order.

    The pooler's modules are left out.
    """
    return {
        path: module
        for path, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and path.rpartition(".")[2] in target_modules and "pooler" not in path
    }


def adapted_modules(encoder: nn.Module, config: LoraConfig) -> dict[str, nn.Linear]:
    """Returns the linear modules that `config` adapts, by path, in forward order."""
    return {path: linear for path, linear in linear_modules(encoder, ALL_LINEAR).items() if config.adapts(path)}


def initial_weights(
    encoder: nn.Module, config: LoraConfig, head: HeadWeights, generator: torch.Generator
) -> AdapterWeights:
    """Returns an untrained adapter, whose LoRA adds zero: A is Kaiming-uniform and B is zero, as in loralib."""
    lora = {}
    for path, linear in adapted_modules(encoder, config).items():
        bound = 1 / math.sqrt(linear.in_features)  # the bound of kaiming_uniform_ with a = sqrt(5)
        a = torch.empty(config.rank, linear.in_features).uniform_(-bound, bound, generator=generator)
        lora[path] = (a, torch.zeros(linear.out_features, config.rank))
    return AdapterWeights(config, lora, head)


def base_only_weights(head: HeadWeights) -> AdapterWeights:
    """Returns the weights of the reserved domain `base`: the base's own head, and no LoRA."""
    return AdapterWeights(LoraConfig(), {}, head)


def adapter_state_dict(weights: AdapterWeights) -> dict[str, Tensor]:
    """Returns the LoRA matrices in fp32 under peft's names, as `adapter_model.safetensors` holds them."""
    return {
        _PEFT_KEY.format(path=path, matrix=matrix): tensor.detach().float().cpu().contiguous()
        for path, pair in weights.lora.items()
        for matrix, tensor in zip("AB", pair, strict=True)
    }


def weights_from_state_dict(
    config: LoraConfig,
    lora_tensors: Mapping[str, Tensor],
    head_kind: str,
    head_tensors: Mapping[str, Tensor],
    modules: Mapping[str, nn.Linear],
    hidden_size: int,
) -> AdapterWeights:
    """Builds an adapter from loaded tensors.

    modules: the base's `adapted_modules` for `config`. hidden_size: the base's.
    Raises InvalidAdapter for a tensor that is missing, unexpected, misshapen or not finite, and names the tensor.
    """
    expected = {
        _PEFT_KEY.format(path=path, matrix=matrix): shape
        for path, linear in modules.items()
        for matrix, shape in (
            ("A", (config.rank, linear.in_features)),
            ("B", (linear.out_features, config.rank)),
        )
    }
    _check_tensors(_LORA_FILE, lora_tensors, expected)
    _check_tensors(_HEAD_FILE, head_tensors, {"weight": (hidden_size,), "bias": ()})
    lora = {
        path: (
            lora_tensors[_PEFT_KEY.format(path=path, matrix="A")].float(),
            lora_tensors[_PEFT_KEY.format(path=path, matrix="B")].float(),
        )
        for path in modules
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
            raise InvalidAdapter(f"{file}: {key} holds values that are not finite floating-point numbers", field=key)

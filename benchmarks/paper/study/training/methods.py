"""The methods of Table 1, each with its learning rates.

Two rates were tried first. A third was added next to the better of the two on hp_atis: a higher one for LoRA, BitFit,
bottleneck adapters and full fine-tuning, a lower one for head and prefix.
"""

from dataclasses import dataclass

from study.harness.sizes import Size

LORA_RATES = (1e-3, 3e-3, 1e-2)


@dataclass(frozen=True, slots=True)
class Method:
    """A method of Table 1.

    Attributes:
        name: name in keys.
        title: title in tables.
        trains: value of --method.
        rates: peak learning rates to try.
        cost: running time per token, relative to LoRA.
        decorrelates: whether it has the correlation regulariser.
    """

    name: str
    title: str
    trains: str
    rates: tuple[float, ...]
    cost: float = 1.0
    decorrelates: bool = False

    def flags(self, size: Size) -> tuple[str, ...]:
        """The flags of lorb-train-adapter."""
        weight = size.correlation_weight if self.decorrelates else 0.0
        return "--method", self.trains, "--correlation-weight", f"{weight:g}"


LORB = Method("lorb", "LoRB: LoRA + correlation", "lora", LORA_RATES, decorrelates=True)
LORA = Method("lora", "LoRA, no correlation", "lora", LORA_RATES)
FULL = Method("full", "full fine-tuning", "full", (6e-5, 2e-4, 6e-4), 1.4)
HEAD = Method("head", "head alone", "head", (1e-2, 3e-2, 3e-3), 0.3)
BITFIT = Method("bitfit", "BitFit", "bitfit", LORA_RATES)
PREFIX = Method("prefix", "prefix", "prefix", (1e-2, 3e-2, 3e-3))
ADAPTER = Method("adapter", "bottleneck adapter", "adapter", LORA_RATES)
METHODS = (LORB, FULL, LORA, HEAD, BITFIT, ADAPTER, PREFIX)


def methods_of(size: Size) -> tuple[Method, ...]:
    """The methods of Table 1 at a size."""
    return tuple(method for method in METHODS if not size.methods or method.name in size.methods)

"""The methods of Table 1, each with its learning rates.

Two were tried first. The third was added where the better of the two lay on hp_atis: above them for LoRA and full
fine-tuning, and for what has LoRA's rates, below them for head and prefix.
"""

from dataclasses import dataclass

LORA_RATES = (1e-3, 3e-3, 1e-2)
CORRELATION_WEIGHT = 1e-3  # of LoRB in all tables, unless it is what a table varies


@dataclass(frozen=True, slots=True)
class Method:
    """A row.

    Attributes:
        name: in keys.
        title: in tables.
        flags: of lorb-train-adapter.
        rates: peak learning rates that are tried.
        cost: of a token, 1 is LoRA's.
    """

    name: str
    title: str
    flags: tuple[str, ...]
    rates: tuple[float, ...]
    cost: float = 1.0


def _flags(method: str, correlation_weight: float = 0.0) -> tuple[str, ...]:
    return "--method", method, "--correlation-weight", f"{correlation_weight:g}"


LORB = Method("lorb", "LoRB: LoRA + correlation", _flags("lora", CORRELATION_WEIGHT), LORA_RATES)
LORA = Method("lora", "LoRA, no correlation", _flags("lora"), LORA_RATES)
FULL = Method("full", "full fine-tuning", _flags("full"), (6e-5, 2e-4, 6e-4), 1.4)
HEAD = Method("head", "head alone", _flags("head"), (1e-2, 3e-2, 3e-3), 0.3)
BITFIT = Method("bitfit", "BitFit", _flags("bitfit"), LORA_RATES)
PREFIX = Method("prefix", "prefix", _flags("prefix"), (1e-2, 3e-2, 3e-3))
ADAPTER = Method("adapter", "bottleneck adapter", _flags("adapter"), LORA_RATES)
METHODS = (LORB, FULL, LORA, HEAD, BITFIT, ADAPTER, PREFIX)

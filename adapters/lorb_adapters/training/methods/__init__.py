"""What of the model is trained: LoRA, all of it, the head, the biases, bottleneck adapters or prefixes."""

from lorb_adapters.base.loader import Base
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.methods.adapter import BottleneckAdapter
from lorb_adapters.training.methods.bitfit import BitFit
from lorb_adapters.training.methods.full import Full
from lorb_adapters.training.methods.head import HeadOnly
from lorb_adapters.training.methods.lora import Lora
from lorb_adapters.training.methods.method import Method
from lorb_adapters.training.methods.prefix import PrefixTuning

__all__ = ["Lora", "Method", "make_method"]

_METHODS: dict[str, type[Method]] = {
    each.name: each for each in (Lora, Full, HeadOnly, BitFit, BottleneckAdapter, PrefixTuning)
}


def make_method(base: Base, config: TrainConfig) -> Method:
    """The method that the configuration names, at its start on `base`, which it takes over.

    Raises InvalidInput where the base has no such layers, or is none that the method can train.
    """
    return _METHODS[config.method](base, config)

"""The training methods: LoRA, full fine-tuning, head only, BitFit, bottleneck adapters, and prefix tuning."""

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
    """Creates the method that the configuration names, with initial values; the method owns `base`.

    Raises InvalidInput if the base cannot be trained, or lacks a layer that the configuration names.
    """
    return _METHODS[config.method](base, config)

"""What a server tells of its base: all that a front process needs of it beside the tokenizer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorb_adapters.base.loader import Base


@dataclass(frozen=True, slots=True)
class BaseInfo:
    """The base's identity, and how it is computed.

    Attributes:
        name, fingerprint: see `lorb_adapters.base.loader.Base`.
        device, dtype: as torch writes them, without "torch.".
    """

    name: str
    fingerprint: str
    device: str
    dtype: str


def base_info(base: "Base") -> BaseInfo:
    """Of a loaded base."""
    return BaseInfo(base.name, base.fingerprint, str(base.device), str(base.dtype).removeprefix("torch."))

"""The settings that the engine process sends to a front."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from lorb_adapters.text import TextEncoder
from lorb_server.adapter import BaseInfo
from lorb_server.config import ServeConfig


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """What a front needs: the server's settings, and the identity and tokenisation of the base. It needs no weights.

    Attributes:
        slot: the front's index, from 0.
        config: the server's settings, with the port that the server has bound.
        base: the base's identity.
        text_encoder: the base's tokenisation.
    """

    slot: int
    config: ServeConfig
    base: BaseInfo
    text_encoder: TextEncoder

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            "slot": self.slot,
            "config": dataclasses.asdict(self.config),
            "base": dataclasses.asdict(self.base),
            "text_encoder": self.text_encoder.to_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "FrontSettings":
        """The settings from the values of `to_json`."""
        return cls(
            content["slot"],
            ServeConfig(**content["config"]),
            BaseInfo(**content["base"]),
            TextEncoder.from_json(content["text_encoder"]),
        )

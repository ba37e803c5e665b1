"""What a front is told before it can listen."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from lorb_adapters.text import TextEncoder
from lorb_server.base_info import BaseInfo
from lorb_server.config import ServeConfig


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """All that a front needs of the server it is part of; no weights.

    Attributes:
        slot: which of the fronts it is, from 0.
        config: the server's, with the port that was bound.
        base: what the server tells of its base.
        text_encoder: the base's.
    """

    slot: int
    config: ServeConfig
    base: BaseInfo
    text_encoder: TextEncoder

    def to_json(self) -> dict[str, Any]:
        """As it is sent."""
        return {
            "slot": self.slot,
            "config": dataclasses.asdict(self.config),
            "base": dataclasses.asdict(self.base),
            "text_encoder": self.text_encoder.to_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "FrontSettings":
        """What `to_json` made."""
        return cls(
            content["slot"],
            ServeConfig(**content["config"]),
            BaseInfo(**content["base"]),
            TextEncoder.from_json(content["text_encoder"]),
        )

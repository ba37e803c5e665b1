"""What the fronts mirror of the engine process."""

import json
from dataclasses import asdict, dataclass

from lorb_server.fronts.frames import ProtocolError


@dataclass(frozen=True, slots=True)
class EngineState:
    """Health, and the age of the registry's picture.

    Attributes:
        number: rises with every change of anything that a front may have kept.
        is_serving: what health says.
        has_served: whether calls are answered, also while draining.
    """

    number: int = 0
    is_serving: bool = False
    has_served: bool = False

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> "EngineState":
        """What `encode` made; raises ProtocolError where it did not make that."""
        try:
            content = json.loads(body)
            return cls(int(content["number"]), bool(content["is_serving"]), bool(content["has_served"]))
        except (ValueError, TypeError, KeyError):
            raise ProtocolError("a state is none that this process understands") from None

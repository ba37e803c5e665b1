"""The state of the engine process that the fronts mirror."""

import json
from dataclasses import asdict, dataclass

from lorb_server.fronts.frames import ProtocolError


@dataclass(frozen=True, slots=True)
class EngineState:
    """The engine's health, and a number that tells whether cached routes are still valid.

    Attributes:
        number: increases with every change of health or of the registry.
        is_serving: whether health is SERVING.
        has_served: whether health was ever SERVING. Once it was, calls are answered, even during a drain.
    """

    number: int = 0
    is_serving: bool = False
    has_served: bool = False

    def encode(self) -> bytes:
        """The state as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> "EngineState":
        """The state from JSON. Raises ProtocolError if the bytes are not an encoded state."""
        try:
            content = json.loads(body)
            return cls(int(content["number"]), bool(content["is_serving"]), bool(content["has_served"]))
        except (ValueError, TypeError, KeyError):
            raise ProtocolError("a state is not decodable") from None

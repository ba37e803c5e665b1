"""The state of the engine process that the fronts mirror."""

from dataclasses import dataclass


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

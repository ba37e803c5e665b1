"""Declares, parses and checks one setting, and names it in messages."""

import dataclasses
import math
from typing import Any

from lorb.errors import InvalidInput

ENVIRONMENT_PREFIX = "LORB_"

_BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def setting(default: Any, help: str, *, choices: tuple[str, ...] = (), minimum: float | None = None) -> Any:  # noqa: A002, ANN401
    """A field of ServeConfig: its default, the text of its flag in --help, and its choices or its minimum."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "minimum": minimum})


def flag(name: str) -> str:
    """The command-line flag of a field: "--max-queue-tokens" for "max_queue_tokens"."""
    return "--" + name.replace("_", "-")


def parse_setting(field: "dataclasses.Field[Any]", text: str, source: str) -> Any:  # noqa: ANN401
    """Converts `text` to the type of `field`. Raises InvalidInput, naming `source`, the flag or variable."""
    try:
        if field.type is bool:
            return _BOOLEANS[text.lower()]
        if field.type in (int, int | None):
            return int(text)
        return float(text) if field.type is float else text
    except (ValueError, KeyError):
        kind = "true or false" if field.type is bool else "a number" if field.type is float else "a whole number"
        problem = f"{source} is {text!r}: give {kind}"
        if source.startswith(ENVIRONMENT_PREFIX) and text.startswith(("tcp://", "udp://")):
            problem += (
                ". Kubernetes sets this for a Service of that name: set enableServiceLinks: false in the pod's spec"
            )
        raise InvalidInput(problem, field=field.name) from None


def check_setting(field: "dataclasses.Field[Any]", value: Any) -> None:  # noqa: ANN401
    """Raises InvalidInput, naming the flag, if the value is not one of the choices or is below the minimum."""
    choices, minimum = field.metadata["choices"], field.metadata["minimum"]
    if choices and value not in choices:
        raise invalid_setting(field.name, f"is {value!r}: give one of {', '.join(choices)}")
    if minimum is not None and value is not None and not (math.isfinite(value) and value >= minimum):
        raise invalid_setting(field.name, f"is {value}: give {minimum} or more")


def invalid_setting(name: str, problem: str) -> InvalidInput:
    """The error for an impossible setting; its message is the setting's flag followed by `problem`."""
    return InvalidInput(f"{flag(name)} {problem}", field=name)

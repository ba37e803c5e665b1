"""One setting: how it is declared, read from text, checked by itself, and named in messages."""

import dataclasses
import math
from typing import Any

from lorb.errors import InvalidInput

ENVIRONMENT_PREFIX = "LORB_"


def setting(default: Any, help: str, *, choices: tuple[str, ...] = (), least: float | None = None) -> Any:  # noqa: A002, ANN401
    """A field of ServeConfig with what its flag tells: `least` is the smallest value that makes sense."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "least": least})


def flag(name: str) -> str:
    """The command-line flag of a field: "max_queue_tokens" is "--max-queue-tokens"."""
    return "--" + name.replace("_", "-")


def parse_setting(field: "dataclasses.Field[Any]", text: str, place: str) -> Any:  # noqa: ANN401
    """`text` as a value of `field`; raises InvalidInput naming `place`, a flag or a variable."""
    try:
        if field.type is bool:
            return _BOOLEANS[text.lower()]
        if field.type in (int, int | None):
            return int(text)
        return float(text) if field.type is float else text
    except (ValueError, KeyError):
        kind = "true or false" if field.type is bool else "a number" if field.type is float else "a whole number"
        raise InvalidInput(f"{place} is {text!r}: give {kind}", field=field.name) from None


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


def check_setting(field: "dataclasses.Field[Any]", value: Any) -> None:  # noqa: ANN401
    """Raises InvalidInput naming the flag where a value is none of the choices, or too small."""
    choices, least = field.metadata["choices"], field.metadata["least"]
    if choices and value not in choices:
        raise impossible(field.name, f"is {value!r}: give one of {', '.join(choices)}")
    if least is not None and value is not None and not (math.isfinite(value) and value >= least):
        raise impossible(field.name, f"is {value}: give {least} or more")


def impossible(name: str, problem: str) -> InvalidInput:
    """What is raised where a setting cannot work."""
    return InvalidInput(f"{flag(name)} {problem}", field=name)

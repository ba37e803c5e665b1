"""Labels: caller's names that travel in logs, ids and metadata. Any text of one line and modest length."""

import re

from lorb.errors import InvalidInput

MAX_LABEL_CHARS = 256

# Control characters and Unicode's two line separators: each could forge a line of a log.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_label(text: str, field: str) -> str:
    """Returns `text`, which may be empty, if it may be a label; else raises InvalidInput naming `field`."""
    if len(text) > MAX_LABEL_CHARS:
        raise InvalidInput(
            f"{field} has {len(text)} characters: send at most {MAX_LABEL_CHARS}",
            field=field,
        )
    control = _CONTROL.search(text)
    if control:
        raise InvalidInput(
            f"{field} holds the control character U+{ord(control.group()):04X} at position "
            f"{control.start()}: send one line of plain text",
            field=field,
        )
    return text

"""Rules for the names of domains, aliases and versions, and for labels that callers choose."""

import re
from dataclasses import dataclass

from lorb.errors import InvalidInput

BASE_DOMAIN = "base"  # reserved name: lists of this domain are scored with the base model's own head
STABLE = "stable"
CANARY = "canary"
SHADOW = "shadow"
MAX_LABEL_CHARS = 256

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}-[0-9a-f]{12}")
# Control characters, and Unicode's line and paragraph separators. In a log they could forge lines.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_name(name: str, field: str) -> str:
    """Returns `name` if it is valid for a domain or an alias. Raises InvalidInput otherwise."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{field} {name[:80]!r} is not a name: use 1 to 64 characters of a-z, 0-9, '.', '_' and '-', "
            "beginning with a letter or digit",
            field=field,
        )
    return name


def check_alias(alias: str, field: str = "alias") -> str:
    """Returns `alias` if it is a name that does not begin with a digit. Raises InvalidInput otherwise."""
    check_name(alias, field)
    if alias[0].isdigit():
        raise InvalidInput(f"{field} {alias!r} begins with a digit: only version ids do", field=field)
    return alias


def is_version(text: str) -> bool:
    """Returns whether `text` is a full version id, "<n>-<digest12>"."""
    return _VERSION.fullmatch(text) is not None


def check_version(version: str, field: str = "version") -> str:
    """Returns `version` if it is a full version id. Raises InvalidInput otherwise."""
    if not is_version(version):
        raise InvalidInput(f"{field} {version[:80]!r} is not a full version id such as 3-0123456789ab", field=field)
    return version


def check_label(text: str, field: str) -> str:
    """Returns `text` if it is one line of at most MAX_LABEL_CHARS characters, or empty. Otherwise raises InvalidInput.

    Labels are request ids, routing keys and utterance ids: they travel in logs and metadata.
    """
    if len(text) > MAX_LABEL_CHARS:
        raise InvalidInput(f"{field} has {len(text)} characters: send at most {MAX_LABEL_CHARS}", field=field)
    control = _CONTROL.search(text)
    if control:
        raise InvalidInput(
            f"{field} holds the control character U+{ord(control.group()):04X} at position "
            f"{control.start()}: send one line of plain text",
            field=field,
        )
    return text


@dataclass(frozen=True, slots=True)
class DomainSelector:
    """The adapter that a caller asks for.

    Attributes:
        domain: the domain's name.
        alias: the alias, or None.
        version: the full version id, or None. If alias and version are both None, the server picks the stable version
            or the canary.
    """

    domain: str
    alias: str | None = None
    version: str | None = None

    @classmethod
    def parse(cls, text: str, field: str = "domain") -> "DomainSelector":
        """Parses "name", "name@alias" or "name@version". Raises InvalidInput."""
        domain, at, suffix = text.partition("@")
        check_name(domain, field)
        if not at:
            return cls(domain)
        if is_version(suffix):
            return cls(domain, version=suffix)
        return cls(domain, alias=check_alias(suffix, field))

"""Names of domains, versions and aliases: what they may look like, and the selector "name@version"."""

import re
from dataclasses import dataclass

from lorb.errors import InvalidInput

BASE_DOMAIN = "base"  # reserved: the base's own head
STABLE = "stable"
CANARY = "canary"
SHADOW = "shadow"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}-[0-9a-f]{12}")


def check_name(name: str, field: str) -> str:
    """Returns `name` if it may name a domain or an alias; raises InvalidInput otherwise."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{field} {name[:80]!r} is not a name: 1 to 64 of a-z, 0-9, '.', '_' and '-', "
            "beginning with a letter or digit",
            field=field,
        )
    return name


def check_alias(alias: str, field: str = "alias") -> str:
    """Returns `alias` if it is a name that does not begin with a digit; raises InvalidInput otherwise."""
    check_name(alias, field)
    if alias[0].isdigit():
        raise InvalidInput(f"{field} {alias!r} begins with a digit, as only version ids do", field=field)
    return alias


def is_version(text: str) -> bool:
    """Whether `text` is a full version id, "<n>-<digest12>"."""
    return _VERSION.fullmatch(text) is not None


def check_version(version: str, field: str = "version") -> str:
    """Returns `version` if it is a full version id; raises InvalidInput otherwise."""
    if not is_version(version):
        raise InvalidInput(f"{field} {version[:80]!r} is not a full version id such as 3-0123456789ab", field=field)
    return version


@dataclass(frozen=True, slots=True)
class DomainSelector:
    """Which adapter a caller asks for. Without `alias` and `version`: stable, or its canary."""

    domain: str
    alias: str | None = None
    version: str | None = None

    @classmethod
    def parse(cls, text: str, field: str = "domain") -> "DomainSelector":
        """Reads "name", "name@alias" or "name@version"; raises InvalidInput."""
        domain, at, suffix = text.partition("@")
        check_name(domain, field)
        if not at:
            return cls(domain)
        if is_version(suffix):
            return cls(domain, version=suffix)
        return cls(domain, alias=check_alias(suffix, field))

"""Where things lie in a store, and the names that may stand there.

<domain>/versions/<n>-<digest12>/   one version, see version_files.py
<domain>/aliases.json               see aliases.py
index.json                          {"generation": g}, g one more with every change: a server polls this file
"""

from lorb.errors import InvalidInput
from lorb.names import BASE_DOMAIN, check_name, check_version

INDEX = "index.json"


def aliases_path(domain: str) -> str:
    """A domain's aliases; raises InvalidInput where `domain` is no name."""
    return f"{check_name(domain, 'domain')}/aliases.json"


def versions_path(domain: str) -> str:
    """The folder of a domain's versions; raises InvalidInput where `domain` is no name."""
    return f"{check_name(domain, 'domain')}/versions"


def version_path(domain: str, version: str) -> str:
    """The folder of one version; raises InvalidInput where a name is none."""
    return f"{versions_path(domain)}/{check_version(version)}"


def check_publishable(domain: str) -> str:
    """Returns `domain` if adapters may be published under it; raises InvalidInput otherwise."""
    check_name(domain, "domain")
    if domain in (BASE_DOMAIN, INDEX):
        raise InvalidInput(f"domain {domain!r} is reserved: choose another name", field="domain")
    return domain


def may_be_domain(name: str) -> bool:
    """Whether an entry of the store's folder may be a domain."""
    try:
        check_publishable(name)
    except InvalidInput:
        return False
    return True


def version_number(version: str) -> int:
    """The n of "<n>-<digest12>"."""
    return int(version.partition("-")[0])


def by_number(version: str) -> tuple[int, str]:
    """Sorts versions oldest first."""
    return version_number(version), version

"""Paths inside a store, and checks of domain names.

<domain>/versions/<n>-<digest12>/   the files of one version
<domain>/aliases.json               the aliases of a domain and their history
index.json                          {"generation": g}; g grows by one with every change, and servers poll this file
"""

from lorb.errors import InvalidInput
from lorb.names import BASE_DOMAIN, check_name, check_version

INDEX = "index.json"


def aliases_path(domain: str) -> str:
    """The path of the file with a domain's aliases; raises InvalidInput if `domain` is not a valid name."""
    return f"{check_name(domain, 'domain')}/aliases.json"


def versions_path(domain: str) -> str:
    """The path of the folder with a domain's versions; raises InvalidInput if `domain` is not a valid name."""
    return f"{check_name(domain, 'domain')}/versions"


def version_path(domain: str, version: str) -> str:
    """The path of one version's folder; raises InvalidInput if `domain` or `version` is not valid."""
    return f"{versions_path(domain)}/{check_version(version)}"


def check_publishable(domain: str) -> str:
    """Returns `domain` if adapters may be published under it; raises InvalidInput otherwise."""
    check_name(domain, "domain")
    if domain in (BASE_DOMAIN, INDEX):
        raise InvalidInput(f"domain {domain!r} is reserved: choose another name", field="domain")
    return domain


def is_publishable(name: str) -> bool:
    """Whether adapters may be published under `name`."""
    try:
        check_publishable(name)
    except InvalidInput:
        return False
    return True


def version_number(version: str) -> int:
    """The n of "<n>-<digest12>"."""
    return int(version.partition("-")[0])


def version_order(version: str) -> tuple[int, str]:
    """A sort key that puts the oldest version first."""
    return version_number(version), version

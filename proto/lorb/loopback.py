"""Loopback addresses: traffic to them never leaves the machine."""

import ipaddress


def is_loopback_host(host: str) -> bool:
    """Returns whether a host name or an IP address, with or without brackets, is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_loopback_target(target: str) -> bool:
    """Returns whether all addresses of a gRPC target are loopback addresses.

    `target` has the form "host:port", "dns:///host:port", "ipv4:a:p,b:p", "ipv6:[a]:p" or "unix:path". A target of
    another form counts as remote.
    """
    scheme, _, rest = target.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return True
    if scheme in ("ipv4", "ipv6"):
        return all(is_loopback_host(_host(address)) for address in rest.split(","))
    return is_loopback_host(_host(rest.rpartition("/")[2] if scheme == "dns" else target))


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address

"""lorb.loopback: which hosts and targets are loopback addresses."""

import pytest

from lorb.loopback import is_loopback_host, is_loopback_target


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1", "[::1]"])
def test_all_spellings_of_loopback_count(host):
    """Loopback names and addresses, with and without brackets, are recognised."""
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org", "", "127.0.0.1.example.org"])
def test_other_hosts_do_not_count(host):
    """Other hosts, also "all interfaces", are not loopback."""
    assert not is_loopback_host(host)


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "127.0.0.1:1",
        "[::1]:1",
        "dns:localhost:1",
        "dns:///localhost:1",
        "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:1",
        "unix:/run/lorb",
        "unix-abstract:lorb",
    ],
)
def test_loopback_targets(target):
    """Loopback targets in all forms of gRPC are recognised."""
    assert is_loopback_target(target)


@pytest.mark.parametrize(
    "target",
    [
        "lorb:50051",
        "dns:///lorb:1",
        "dns://8.8.8.8/lorb:1",
        "ipv4:127.0.0.1:1,10.0.0.7:1",
        "ipv6:[fe80::1]:1",
        "xds:///x",
    ],
)
def test_remote_targets(target):
    """Targets with one remote address, or of an unknown scheme, are not loopback."""
    assert not is_loopback_target(target)

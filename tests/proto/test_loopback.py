"""lorb.loopback: what stays on the machine."""

import pytest

from lorb.loopback import is_loopback_host, is_loopback_target


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1", "[::1]"])
def test_every_way_to_write_loopback_counts(host):
    """Names, addresses, brackets or not."""
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org", "", "127.0.0.1.example.org"])
def test_nothing_else_does(host):
    """All interfaces are more than loopback."""
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
def test_targets_of_this_machine(target):
    """In every form that gRPC takes."""
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
def test_targets_beyond_it(target):
    """One address elsewhere is enough; what gRPC's resolvers know and this does not is elsewhere."""
    assert not is_loopback_target(target)

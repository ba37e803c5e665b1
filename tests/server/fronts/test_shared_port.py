"""The port that the fronts of one server share."""

import socket

import pytest

from lorb.errors import InvalidInput
from lorb_server.fronts.shared_port import SharedPort


def listener(port):
    """Listens as gRPC does when it shares its port."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()
    return listening


def test_fronts_listen_on_the_port_and_get_its_connections():
    """The holder itself gets none."""
    with SharedPort("127.0.0.1", 0) as shared, listener(shared.port) as one, listener(shared.port):
        one.settimeout(20.0)
        for _ in range(64):  # the kernel spreads them: that one gets none of so many is next to impossible
            socket.create_connection(("127.0.0.1", shared.port), timeout=20.0).close()
        one.accept()[0].close()


@pytest.mark.parametrize("are_fronts_up", [False, True])
def test_a_second_server_is_refused(are_fronts_up):
    """Before the fronts of the first one listen as well as afterwards."""
    with SharedPort("127.0.0.1", 0) as shared:
        up = [listener(shared.port)] if are_fronts_up else []
        with pytest.raises(InvalidInput, match=f"--port {shared.port} on 127.0.0.1") as caught:
            SharedPort("127.0.0.1", shared.port)
        assert caught.value.field == "port"
        for each in up:
            each.close()


def test_a_server_that_starts_again_gets_its_port_again():
    """Connections that ended just now don't stand in the way."""
    with SharedPort("127.0.0.1", 0) as shared, listener(shared.port) as front:
        caller = socket.create_connection(("127.0.0.1", shared.port), timeout=20.0)
        accepted, _ = front.accept()
        accepted.close()
        caller.close()
    with SharedPort("127.0.0.1", shared.port) as again:
        assert again.port == shared.port


def test_an_address_that_is_none_is_refused():
    """By the name of its setting."""
    with pytest.raises(InvalidInput, match="--port"):
        SharedPort("192.0.2.1", 0)

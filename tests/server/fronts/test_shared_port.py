"""The port that the fronts of one server share."""

import socket

import pytest

from lorb.errors import InvalidInput
from lorb_server.fronts.shared_port import SharedPort


def listener(port):
    """Listens on a shared port with the socket options of gRPC."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()
    return listening


def test_fronts_listen_on_the_port_and_get_its_connections():
    """Connections go to the fronts and not to the process that holds the port."""
    with SharedPort("127.0.0.1", 0) as shared, listener(shared.port) as one, listener(shared.port):
        one.settimeout(20.0)
        for _ in range(64):  # the kernel distributes them: the probability that one front gets none is 2^-64
            socket.create_connection(("127.0.0.1", shared.port), timeout=20.0).close()
        one.accept()[0].close()


@pytest.mark.parametrize("are_fronts_up", [False, True])
def test_a_second_server_is_refused(are_fronts_up):
    """A second server on the port is refused before and after the fronts of the first one listen."""
    with SharedPort("127.0.0.1", 0) as shared:
        up = [listener(shared.port)] if are_fronts_up else []
        with pytest.raises(InvalidInput, match=f"--port {shared.port} on 127.0.0.1") as caught:
            SharedPort("127.0.0.1", shared.port)
        assert caught.value.field == "port"
        for each in up:
            each.close()


def test_a_restarted_server_gets_its_port_again():
    """Connections that were closed a moment ago do not block the port."""
    with SharedPort("127.0.0.1", 0) as shared, listener(shared.port) as front:
        caller = socket.create_connection(("127.0.0.1", shared.port), timeout=20.0)
        accepted, _ = front.accept()
        accepted.close()
        caller.close()
    with SharedPort("127.0.0.1", shared.port) as again:
        assert again.port == shared.port


def test_an_address_of_another_machine_is_refused():
    """An address that this machine does not have is refused with an error that names --port."""
    with pytest.raises(InvalidInput, match="--port"):
        SharedPort("192.0.2.1", 0)

"""lorb_client.rescore.retry: how often a call is made again, and after which pauses."""

import pytest

from lorb.errors import Overloaded, Unavailable
from lorb_client.rescore.retry import retry_overloaded


class Server:
    """Fails with each of `errors` in turn, then answers 7."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.pauses = []

    def call(self):
        if self.errors:
            raise self.errors.pop(0)
        return 7

    def pause(self, seconds):
        self.pauses.append(seconds)
        return False


def busy(retry_seconds=None):
    """An overload after which the server asks for such a pause."""
    error = Overloaded("no room")
    error.retry_seconds = retry_seconds
    return error


def test_pauses_grow_to_a_second():
    """So that many callers do not ask all the time, and none waits long for room that is there."""
    server = Server(*[busy(0.1)] * 6)
    assert retry_overloaded(server.call, 60, server.pause) == 7
    assert server.pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_the_servers_own_pause_is_kept():
    """Where it asks for a longer one."""
    server = Server(busy(3.0), busy())
    assert retry_overloaded(server.call, 60, server.pause) == 7
    assert server.pauses == [3.0, 0.2]


def test_patience_ends():
    """With the server's words, before the pause that would be too much."""
    server = Server(*[busy(0.4)] * 9)
    with pytest.raises(Overloaded, match="no room"):
        retry_overloaded(server.call, 1.0, server.pause)
    assert server.pauses == [0.4, 0.4]


def test_a_call_that_nobody_wants_any_more_ends():
    """A run that is interrupted does not wait for room."""
    server = Server(busy())
    with pytest.raises(Overloaded):
        retry_overloaded(server.call, 60, lambda seconds: True)


def test_nothing_else_is_waited_for():
    """Other errors do not pass by waiting, or gRPC has waited already."""
    server = Server(Unavailable("gone"))
    with pytest.raises(Unavailable):
        retry_overloaded(server.call, 60, server.pause)
    assert server.pauses == []

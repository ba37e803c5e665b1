"""lorb_client.rescore.retry: retries and pauses after overloads."""

import pytest

from lorb.errors import Overloaded, Unavailable
from lorb_client.rescore.retry import retry_overloaded


class Server:
    """Raises each of `errors` in turn, then returns 7."""

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
    """Returns an overload error with this retry pause."""
    error = Overloaded("no room")
    error.retry_seconds = retry_seconds
    return error


def test_pauses_grow_to_a_second():
    """Pauses double up to one second."""
    server = Server(*[busy(0.1)] * 6)
    assert retry_overloaded(server.call, 60, server.pause) == 7
    assert server.pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_the_servers_own_pause_is_kept():
    """A longer pause that the server asks for is kept."""
    server = Server(busy(3.0), busy())
    assert retry_overloaded(server.call, 60, server.pause) == 7
    assert server.pauses == [3.0, 0.2]


def test_retries_end_after_the_maximum_wait():
    """The error is raised if the next pause would exceed the maximum wait."""
    server = Server(*[busy(0.4)] * 9)
    with pytest.raises(Overloaded, match="no room"):
        retry_overloaded(server.call, 1.0, server.pause)
    assert server.pauses == [0.4, 0.4]


def test_a_cancelled_pause_ends_the_retries():
    """The error is raised if `pause` gives up."""
    server = Server(busy())
    with pytest.raises(Overloaded):
        retry_overloaded(server.call, 60, lambda seconds: True)


def test_other_errors_are_not_retried():
    """Errors other than Overloaded are raised at once."""
    server = Server(Unavailable("gone"))
    with pytest.raises(Unavailable):
        retry_overloaded(server.call, 60, server.pause)
    assert server.pauses == []

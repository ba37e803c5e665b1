"""When a dead front is started again."""

from lorb_server.fronts.restarts import MAX_DEATHS, WINDOW_SECONDS, Restarts


def test_the_first_death_is_mended_at_once_and_later_ones_more_and_more_slowly():
    """Pauses double, up to a limit."""
    restarts = Restarts()
    pauses = [restarts.pause_seconds(1000.0 + i) for i in range(MAX_DEATHS)]
    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_a_front_that_dies_again_and_again_is_given_up():
    """The fault is not an accident."""
    restarts = Restarts()
    assert None not in [restarts.pause_seconds(1000.0 + i) for i in range(MAX_DEATHS)]
    assert restarts.pause_seconds(1000.0 + MAX_DEATHS) is None


def test_deaths_of_long_ago_are_forgiven():
    """A front may die now and then, for ever."""
    restarts = Restarts()
    assert {restarts.pause_seconds(i * WINDOW_SECONDS) for i in range(100)} == {0.0}

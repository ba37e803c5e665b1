"""The pauses before a crashed front is restarted."""

from lorb_server.fronts.restarts import MAX_DEATHS, WINDOW_SECONDS, Restarts


def test_pauses_grow_exponentially_up_to_a_limit():
    """The first restart is immediate; then the pauses double up to 5 s."""
    restarts = Restarts()
    pauses = [restarts.pause_seconds(1000.0 + i) for i in range(MAX_DEATHS)]
    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_no_restart_after_too_many_crashes():
    """After MAX_DEATHS crashes within the window there is no further restart."""
    restarts = Restarts()
    assert None not in [restarts.pause_seconds(1000.0 + i) for i in range(MAX_DEATHS)]
    assert restarts.pause_seconds(1000.0 + MAX_DEATHS) is None


def test_crashes_outside_the_window_do_not_count():
    """A front that crashes once per window is always restarted at once."""
    restarts = Restarts()
    assert {restarts.pause_seconds(i * WINDOW_SECONDS) for i in range(100)} == {0.0}

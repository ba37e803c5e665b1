"""lorb_server.engine.scheduling.scheduler: golden lists and shadow comparisons beside the lists of calls."""

from lorb_server.call import Priority
from lorb_server.engine.scheduling.scheduler import VERIFICATION_PASS_SECONDS
from support.engine.scheduled_lists import entry, make_scheduler, names, offer_all, timed_scheduler


def golden(name, tokens=10):
    """A hypothesis of a golden list; it has no deadline."""
    return entry(name, tokens, answer_by=1e9, priority=Priority.VERIFICATION)


def shadow(name, tokens=10):
    """A list of a shadow comparison."""
    return entry(name, tokens, answer_by=1e6, priority=Priority.IDLE)


def end(scheduler, batch, now=0.0):
    """Records that a batch has ended."""
    scheduler.finish(batch, now, now, read_tokens=0)


def test_a_shadow_pass_holds_one_list():
    """Shadow lists are scored one by one, so that a live list waits for at most one of them."""
    scheduler = make_scheduler(batch=1000)
    offer_all(scheduler, shadow("first"), shadow("second"))
    batch = scheduler.take(0)
    assert names(batch.entries) == ["first"]
    offer_all(scheduler, entry("live"))
    end(scheduler, batch)
    batch = scheduler.take(0)
    assert names(batch.entries) == ["live"]
    end(scheduler, batch)
    assert names(scheduler.take(0).entries) == ["second"]


def test_no_background_pass_is_queued_behind_a_running_one():
    """On a device that runs one pass while another waits, no shadow or golden list is launched behind a pass."""
    scheduler = make_scheduler()
    offer_all(scheduler, shadow("shadow"), golden("golden", 50), entry("live"))
    assert names(scheduler.take(0).entries) == ["live"]
    assert scheduler.take(0).entries == []


def test_a_golden_pass_is_short():
    """A pass of golden lists keeps to its seconds, though a pass of live lists of the same size may be larger."""
    scheduler = timed_scheduler(fixed=0.01, per_token=0.001)
    offer_all(scheduler, *(golden(f"{i}") for i in range(20)))
    batch = scheduler.take(0)
    assert 1 < len(batch.entries) < 20
    assert scheduler.forecast.cost.seconds(batch.tokens) <= VERIFICATION_PASS_SECONDS


def test_golden_lists_share_passes_until_a_pass_was_measured():
    """Before the warm-up, when no call waits, golden lists of several versions fill whole passes."""
    scheduler = make_scheduler(batch=100)
    offer_all(scheduler, *(golden(f"{i}") for i in range(12)))
    assert names(scheduler.take(0).entries) == [f"{i}" for i in range(10)]


def test_golden_lists_never_share_a_pass_with_live_lists():
    """A version that is not verified yet cannot disturb the pass of a call."""
    scheduler = make_scheduler(batch=1000)
    offer_all(scheduler, golden("golden"), entry("live"), entry("bulk", bulk=True))
    batch = scheduler.take(0)
    assert sorted(names(batch.entries)) == ["bulk", "live"]
    end(scheduler, batch)
    assert names(scheduler.take(0).entries) == ["golden"]


def test_golden_lists_progress_under_constant_load():
    """While live lists always wait, golden lists get about one token of nine, and live lists the others."""
    scheduler = make_scheduler(batch=80, queue=100_000)
    offer_all(scheduler, *(golden(f"golden {i}") for i in range(50)))
    tokens = {"golden": 0, "live": 0}
    for number in range(90):
        offer_all(scheduler, entry(f"live {number}", 80))
        batch = scheduler.take(0)
        [kind] = {name.split()[0] for name in names(batch.entries)}
        tokens[kind] += batch.tokens
        end(scheduler, batch)
    assert 1 / 10 <= tokens["golden"] / sum(tokens.values()) <= 1 / 8


def test_golden_lists_leave_the_predictions_and_the_queue_figures_alone():
    """Golden lists neither train the cost model, nor count as queued tokens, nor keep a probe from being admitted."""
    scheduler = timed_scheduler(per_token=1.0)
    before = scheduler.forecast.cost.seconds(100)
    offer_all(scheduler, golden("first"), golden("second"))
    scheduler.finish(scheduler.take(0), 0.0, 50.0, read_tokens=10)
    assert scheduler.forecast.cost.seconds(100) == before
    assert scheduler.queued_tokens == 0
    assert scheduler.offer(entry("probe", 100, answer_by=120.0, at=100.0), 100.0).value == "probe"

"""Checks the results of a soak: nothing grew, and the counts of client and server agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soak_calls import CANCELLED, SoakCalls

from lorb_client.load.call_outcome import OutcomeKind

SETTLED = 0.2  # share of calls after which caches and memory arenas have reached their size
MAX_GROWTH = 0.1
CALLS_FOR_GROWTH = 50_000  # in a shorter run, a fifth of the calls is too few: memory and threads still grow after it

Check = tuple[str, str, bool]  # name, value, whether it is met


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the server at one moment.

    Attributes:
        share: share of the calls that have ended, 0 to 1.
        rss_mib: resident memory.
        num_threads, num_tasks: number of threads, and of tasks of the event loop.
    """

    share: float
    rss_mib: float
    num_threads: int
    num_tasks: int


def settled_of(samples: Sequence[Sample]) -> Sample:
    """The first sample after a fifth of the calls."""
    return next(each for each in samples if each.share >= SETTLED)


def checks_of(
    calls: SoakCalls,
    samples: Sequence[Sample],
    counters: Mapping[str, float],
    num_flips: int,
    flip_failures: Sequence[str],
) -> list[Check]:
    """All checks. samples: the first one before the first call, the last one after the last call."""
    return [
        *(_growth_checks(samples) if calls.num_calls >= CALLS_FOR_GROWTH else ()),
        *_count_checks(calls, counters),
        *_health_checks(calls, counters),
        ("flips that failed", f"{len(flip_failures)} of {num_flips}", not flip_failures and num_flips > 0),
    ]


def _growth_checks(samples: Sequence[Sample]) -> list[Check]:
    before, settled, end = samples[0], settled_of(samples), samples[-1]
    growth = end.rss_mib / settled.rss_mib - 1
    threads = f"{settled.num_threads}, {end.num_threads}"
    tasks = f"{before.num_tasks}, {end.num_tasks}"
    return [
        ("memory, from a fifth to the end", f"{100 * growth:+.1f} %", abs(growth) <= MAX_GROWTH),
        ("threads after a fifth, at the end", threads, end.num_threads <= settled.num_threads),
        ("idle tasks before, at the end", tasks, end.num_tasks <= before.num_tasks),
    ]


def _count_checks(calls: SoakCalls, counters: Mapping[str, float]) -> list[Check]:
    """Compares counts. The server may have answered, refused, abandoned or never received a cancelled call."""
    cancelled, refused = calls.ends[CANCELLED], calls.num_ending(OutcomeKind.REFUSED)
    no_answer = calls.num_ending(OutcomeKind.NO_ANSWER)
    given_up = cancelled + no_answer
    ended = calls.num_answered + refused + given_up
    lists = sum(counters[each] for each in ("rescored", "partial", "first_pass"))
    surplus, errors = lists - calls.num_answered, counters["error"] - refused
    abandoned, counted = counters["rescore_abandoned_total"], lists + counters["error"]
    return [
        ("sent; answered, refused, unanswered, cancelled", f"{calls.num_sent}; {ended}", calls.num_sent == ended),
        ("lists for calls that were given up", f"{surplus:g} of {given_up}", 0 <= surplus <= given_up),
        ("errors for calls that were given up", f"{errors:g} of {given_up}", 0 <= errors <= given_up),
        ("lists and errors for calls given up", f"{surplus + errors:g} of {given_up}", surplus + errors <= given_up),
        ("abandoned in the queue", f"{abandoned:g} of {given_up}", abandoned <= given_up),
        ("calls that the server counted", f"{counted:g} of {calls.num_sent}", counted <= calls.num_sent),
        ("outcomes that the client saw more often", _outcome_gaps(calls, counters), not _outcome_gaps(calls, counters)),
    ]


def _health_checks(calls: SoakCalls, counters: Mapping[str, float]) -> list[Check]:
    failures = counters["internal_errors_total"] + counters["failed_passes_total"]
    return [
        ("calls lost: UNAVAILABLE, INTERNAL, ...", _lost(calls), not _lost(calls)),
        ("internal errors and failed passes", f"{failures:g}", not failures),
        ("tokens left in the queue", f"{counters['queue_tokens']:g}", not counters["queue_tokens"]),
    ]


def _outcome_gaps(calls: SoakCalls, counters: Mapping[str, float]) -> str:
    kinds = (OutcomeKind.RESCORED, OutcomeKind.PARTIAL, OutcomeKind.FIRST_PASS)
    return ", ".join(kind.value for kind in kinds if counters[kind.value] < calls.num_ending(kind))


def _lost(calls: SoakCalls) -> str:
    """Failures without a deadline, full queue or unknown domain as their reason."""
    expected = ("deadline_exceeded", "resource_exhausted", "not_found")
    ends = {end: count for end, count in calls.ends.items() if end.startswith(("refused", "no_answer"))}
    return ", ".join(f"{end} {count}" for end, count in ends.items() if not end.endswith(expected))

"""Chooses how many workers share the CPU threads of the model: by measurement, unless settings say it."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, BrokenBarrierError

from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.threads import prepare_model_thread
from lorb_server.engine.warm_up import TYPICAL_WORDS, encode_repeated, score_rows

MEASURED_SECONDS = 0.2
MEASURED_TOKENS = 256  # of a pass: about one list
# Workers with several threads wait for one another at every product: one busy neighbour on the same cores stops them
# all. So several threads must be this much faster than one.
MINIMUM_GAIN = 1.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Split:
    """How many workers run, and how many CPU threads each of them computes with."""

    workers: int
    threads_per_worker: int

    def __str__(self) -> str:
        return f"{self.workers}x{self.threads_per_worker}"


def choose_split(
    model: RescoringModel, threads: int, *, workers: int | None = None, threads_per_worker: int | None = None
) -> Split:
    """Shares `threads` out among workers. On an accelerator there is one worker.

    workers, threads_per_worker: what the settings say; None if they say nothing.

    If neither is given, measures which split scores most tokens a second, and logs it. Raises what the model raises.
    """
    if model.base.device.type != "cpu":
        return Split(1, threads_per_worker or threads)
    if workers or threads_per_worker:
        workers = workers or max(1, threads // (threads_per_worker or 1))
        return Split(workers, threads_per_worker or max(1, threads // workers))
    candidates = [Split(threads // count, count) for count in _powers_of_two(threads)]
    rates = {split: _tokens_per_second(model, split) for split in candidates} if len(candidates) > 1 else {}
    best = fastest(rates) if rates else candidates[0]
    shown = {str(split): round(rate) for split, rate in rates.items()}
    fields = {"workers": best.workers, "threads_per_worker": best.threads_per_worker, "tokens_per_second": shown}
    _log.info("workers chosen", extra={"fields": fields})
    return best


def fastest(rates: dict[Split, float]) -> Split:
    """The fastest split; one with more threads in each worker must be faster by MINIMUM_GAIN."""
    best, *others = sorted(rates, key=lambda split: split.threads_per_worker)
    for split in others:
        if rates[split] > MINIMUM_GAIN * rates[best]:
            best = split
    return best


def _tokens_per_second(model: RescoringModel, split: Split) -> float:
    [row] = encode_repeated(model, TYPICAL_WORDS)
    rows = [row] * max(1, MEASURED_TOKENS // row.num_tokens)
    barrier = Barrier(split.workers)

    def measure() -> float:
        prepare_model_thread(split.threads_per_worker)
        return _rate(model.for_another_thread(), rows, barrier)

    # New threads: with them their OpenMP helpers end.
    with ThreadPoolExecutor(split.workers, "split") as pool:
        measured = [pool.submit(measure) for _ in range(split.workers)]
    errors = [error for each in measured if (error := each.exception()) is not None]
    for error in sorted(errors, key=lambda each: isinstance(each, BrokenBarrierError)):
        raise error  # not that of a worker which waited for the one that failed
    return sum(each.result() for each in measured)


def _rate(
    model: RescoringModel,
    rows: Sequence[EncodedHypothesis],
    barrier: Barrier,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Tokens a second of passes that begin at the same time on all workers."""
    try:
        score_rows(model, rows)  # compiles kernels
    except BaseException:
        barrier.abort()
        raise
    barrier.wait()
    num_passes, started = 0, clock()
    while (elapsed := clock() - started) < MEASURED_SECONDS or not num_passes:
        score_rows(model, rows)
        num_passes += 1
    return num_passes * sum(row.num_tokens for row in rows) / elapsed


def _powers_of_two(maximum: int) -> list[int]:
    """1, 2, 4, ..., up to `maximum`."""
    return [1 << exponent for exponent in range(maximum.bit_length())]

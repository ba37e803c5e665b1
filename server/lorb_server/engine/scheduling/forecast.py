"""Predicts when each worker's passes end, and how long passes and the queue take."""

import math

from lorb_server.engine.scheduling.cost_model import CostModel


class Forecast:
    """The passes that run on the workers. Not thread-safe. Times are in seconds on the monotonic clock.

    Attributes:
        num_workers: the number of workers; all are equally fast.
        cost: predicts how long a pass takes; learns from the passes of all workers.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self.cost = CostModel()
        self._num_running = [0] * num_workers  # for each worker, the passes that have begun and not ended
        self._free_at = [-math.inf] * num_workers  # predicted end of these passes, or the end of the last one

    @property
    def all_idle(self) -> bool:
        """Whether no worker runs a pass."""
        return not any(self._num_running)

    def is_idle(self, worker: int) -> bool:
        """Whether a worker runs no pass."""
        return not self._num_running[worker]

    def begin(self, worker: int, tokens: int, now: float) -> None:
        """Records that a worker begins a pass of `tokens`, or will begin it after the passes that it runs."""
        self._free_at[worker] = self.next_start(worker, now) + self.cost.seconds(tokens)
        self._num_running[worker] += 1

    def end(self, worker: int, now: float) -> None:
        """Records that the pass that a worker began first has ended."""
        self._num_running[worker] -= 1
        if not self._num_running[worker]:
            self._free_at[worker] = now

    def next_start(self, worker: int, now: float) -> float:
        """When a pass that a worker takes now is predicted to start."""
        return max(now, self._free_at[worker]) if self._num_running[worker] else now

    def earliest_start(self, now: float) -> float:
        """When the first worker is predicted to be free."""
        return min(self.next_start(worker, now) for worker in range(self.num_workers))

    def pass_seconds(self, tokens: int, num_shares: int) -> float:
        """The predicted duration of a batch of `tokens` that is shared out among `num_shares` workers."""
        return self.cost.seconds(-(-tokens // num_shares))

    def queue_seconds(self, tokens: int) -> float:
        """The predicted time that all workers together need for tokens of the queue."""
        return self.cost.seconds_within_passes(tokens) / self.num_workers

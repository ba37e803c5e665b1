"""LoadTally: counts of the calls of a load."""

from collections import Counter
from dataclasses import dataclass, field

from lorb_client.load.call_outcome import ANSWERED, CallOutcome, OutcomeKind
from lorb_client.load.latencies import Latencies


@dataclass(slots=True)
class LoadTally:
    """Counts of the measured calls, without the warm-up. Tallies of several processes can be merged.

    Attributes:
        deadline_seconds: deadline of each call from its scheduled time.
        num_due: number of calls whose scheduled time has come.
        num_not_sent: number of due calls that were not sent because too many calls were under way.
        num_unfinished: number of sent calls still under way at the end of the run.
        outcomes: number of calls by outcome and reason.
        num_within_deadline: number of calls answered (rescored, partial or first pass) within the deadline.
        scored_within_deadline: number of hypotheses with a rescoring score in calls answered within the deadline, by
            outcome of the call.
        latencies: time from the scheduled time to the end of a call, for any outcome.
        rescored_latencies: latencies of the calls whose list was rescored in full.
        lateness: time from the scheduled time until the call was sent.
        interrupted_after_seconds: measured time until the run was interrupted; None if the run was not interrupted.
    """

    deadline_seconds: float
    num_due: int = 0
    num_not_sent: int = 0
    num_unfinished: int = 0
    outcomes: Counter[tuple[OutcomeKind, str]] = field(default_factory=Counter)
    num_within_deadline: int = 0
    scored_within_deadline: Counter[OutcomeKind] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)
    rescored_latencies: Latencies = field(default_factory=Latencies)
    lateness: Latencies = field(default_factory=Latencies)
    interrupted_after_seconds: float | None = None

    def add_not_sent(self) -> None:
        """Counts a call that was due but not sent."""
        self.num_due += 1
        self.num_not_sent += 1

    def add_sent(self, late_seconds: float) -> None:
        """Counts a call when it is sent."""
        self.num_due += 1
        self.lateness.record(late_seconds)

    def add_outcome(self, outcome: CallOutcome, seconds: float) -> None:
        """Counts a call that ended `seconds` after its scheduled time."""
        self.outcomes[outcome.kind, outcome.reason] += 1
        self.latencies.record(seconds)
        if outcome.kind is OutcomeKind.RESCORED:
            self.rescored_latencies.record(seconds)
        if outcome.kind in ANSWERED and seconds <= self.deadline_seconds:
            self.num_within_deadline += 1
            self.scored_within_deadline[outcome.kind] += outcome.num_scored

    def merge(self, other: "LoadTally") -> None:
        """Adds the counts of another process."""
        self.num_due += other.num_due
        self.num_not_sent += other.num_not_sent
        self.num_unfinished += other.num_unfinished
        self.outcomes += other.outcomes
        self.num_within_deadline += other.num_within_deadline
        self.scored_within_deadline += other.scored_within_deadline
        self.latencies.merge(other.latencies)
        self.rescored_latencies.merge(other.rescored_latencies)
        self.lateness.merge(other.lateness)
        if other.interrupted_after_seconds is not None:
            self.interrupted_after_seconds = max(self.interrupted_after_seconds or 0, other.interrupted_after_seconds)

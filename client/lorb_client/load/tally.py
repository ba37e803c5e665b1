"""What happened to the calls of a load, counted as they end; tallies of several processes add up."""

from collections import Counter
from dataclasses import dataclass, field

from lorb_client.load.call_outcome import ANSWERED, CallOutcome, OutcomeKind
from lorb_client.load.latencies import Latencies


@dataclass(slots=True)
class LoadTally:
    """Sums over the measured calls; those of the warm-up are not in it.

    Attributes:
        deadline_seconds: of each call, from the moment it was due.
        num_due: calls whose time came.
        num_not_sent: of them, not sent because too many were under way.
        num_unfinished: of them, still under way when the run was broken off or had waited long enough.
        ends: how many ended how, with the reason.
        num_within_deadline: lists that came back (rescored, partial or first pass) in time.
        scored_within_deadline: hypotheses with a rescoring score that came back in time, by the list's ending.
        latencies: from the moment a call was due to its end, whatever the end.
        rescored_latencies: the same of the lists rescored in full.
        lateness: from the moment a call was due to when it was sent: the generator's own delay.
        interrupted_after_seconds: how long the measurement had run when it was broken off; None where it was not.
    """

    deadline_seconds: float
    num_due: int = 0
    num_not_sent: int = 0
    num_unfinished: int = 0
    ends: Counter[tuple[OutcomeKind, str]] = field(default_factory=Counter)
    num_within_deadline: int = 0
    scored_within_deadline: Counter[OutcomeKind] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)
    rescored_latencies: Latencies = field(default_factory=Latencies)
    lateness: Latencies = field(default_factory=Latencies)
    interrupted_after_seconds: float | None = None

    def add_not_sent(self) -> None:
        """Counts a call that was due and for which there was no room."""
        self.num_due += 1
        self.num_not_sent += 1

    def add_sent(self, late_seconds: float) -> None:
        """Counts a call as it is sent."""
        self.num_due += 1
        self.lateness.record(late_seconds)

    def add_end(self, end: CallOutcome, seconds: float) -> None:
        """Counts a call's end, `seconds` after it was due."""
        self.ends[end.ending, end.reason] += 1
        self.latencies.record(seconds)
        if end.ending is OutcomeKind.RESCORED:
            self.rescored_latencies.record(seconds)
        if end.ending in ANSWERED and seconds <= self.deadline_seconds:
            self.num_within_deadline += 1
            self.scored_within_deadline[end.ending] += end.num_scored

    def merge(self, other: "LoadTally") -> None:
        """Adds what another process counted."""
        self.num_due += other.num_due
        self.num_not_sent += other.num_not_sent
        self.num_unfinished += other.num_unfinished
        self.ends += other.ends
        self.num_within_deadline += other.num_within_deadline
        self.scored_within_deadline += other.scored_within_deadline
        self.latencies.merge(other.latencies)
        self.rescored_latencies.merge(other.rescored_latencies)
        self.lateness.merge(other.lateness)
        if other.interrupted_after_seconds is not None:
            self.interrupted_after_seconds = max(self.interrupted_after_seconds or 0, other.interrupted_after_seconds)

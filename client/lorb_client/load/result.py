"""What a load found: counts, rates and percentiles, ready for JSON."""

from dataclasses import asdict, dataclass, field

from lorb import __version__
from lorb.server_info import ServerInfo
from lorb_client.load.call_outcome import ANSWERED, OutcomeKind
from lorb_client.load.latencies import Latencies, Percentiles
from lorb_client.load.tally import LoadTally

# The generator's own delay counts into latencies. Above both of these a run is said to have lagged.
MAX_LATENESS_MS = 2.0
MAX_LATENESS_SHARE = 0.1  # of the median latency


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load found in its measured time; the warm-up is not in it.

    Attributes:
        target: the server.
        server: what it said of itself: version, base, device, dtype.
        client_version: the LoRB release of the generator.
        seconds: measured.
        deadline_seconds: of each call, from the moment it was due.
        num_due, num_sent, num_not_sent, num_unfinished: calls whose time came; sent; not sent for want of room under
            the in-flight limit; sent and never ended.
        offered_per_second, answered_per_second: calls due, and lists that came back, per second.
        endings: calls by ending and, after a space, reason: "first_pass deadline", "no_answer unavailable".
        within_deadline: of the calls due, the share whose list came back in time. 0 to 1.
        rescored_hypotheses_per_second: with a rescoring score, in time, of lists rescored in full.
        partial_hypotheses_per_second: the same of lists rescored in part.
        latency_ms: from the moment a call was due to its end, whatever the end.
        rescored_latency_ms: the same of the lists rescored in full.
        lateness_ms: the generator's own delay, which is in the latencies.
        lagged: the generator was late enough to spoil them.
        interrupted: the run was broken off.
        latencies, rescored_latencies: the histograms; not in JSON.
    """

    target: str
    server: dict[str, str]
    client_version: str
    seconds: float
    deadline_seconds: float
    num_due: int
    num_sent: int
    num_not_sent: int
    num_unfinished: int
    offered_per_second: float
    answered_per_second: float
    endings: dict[str, int]
    within_deadline: float
    rescored_hypotheses_per_second: float
    partial_hypotheses_per_second: float
    latency_ms: Percentiles | None
    rescored_latency_ms: Percentiles | None
    lateness_ms: Percentiles | None
    lagged: bool
    interrupted: bool
    latencies: Latencies = field(repr=False, compare=False)
    rescored_latencies: Latencies = field(repr=False, compare=False)

    @classmethod
    def of(cls, tally: LoadTally, info: ServerInfo, *, target: str, seconds: float) -> "LoadResult":
        """Sums up. `seconds` is how long the measured steps were meant to take."""
        broken_off = tally.interrupted_after_seconds
        measured = seconds if broken_off is None else max(1e-9, min(seconds, broken_off))
        answered = sum(count for (ending, _), count in tally.ends.items() if ending in ANSWERED)
        return cls(
            target=target,
            server={name: getattr(info, name) for name in ("server_version", "base_name", "device", "dtype")},
            client_version=__version__,
            seconds=measured,
            deadline_seconds=tally.deadline_seconds,
            num_due=tally.num_due,
            num_sent=tally.num_due - tally.num_not_sent,
            num_not_sent=tally.num_not_sent,
            num_unfinished=tally.num_unfinished,
            offered_per_second=tally.num_due / measured,
            answered_per_second=answered / measured,
            endings=_endings(tally),
            within_deadline=tally.num_within_deadline / max(1, tally.num_due),
            rescored_hypotheses_per_second=tally.scored_within_deadline[OutcomeKind.RESCORED] / measured,
            partial_hypotheses_per_second=tally.scored_within_deadline[OutcomeKind.PARTIAL] / measured,
            latency_ms=tally.latencies.percentiles(),
            rescored_latency_ms=tally.rescored_latencies.percentiles(),
            lateness_ms=tally.lateness.percentiles(),
            lagged=_lagged(tally),
            interrupted=broken_off is not None,
            latencies=tally.latencies,
            rescored_latencies=tally.rescored_latencies,
        )

    @property
    def num_answered(self) -> int:
        """Calls whose list came back, in time or not."""
        return sum(self.num_ending(ending) for ending in ANSWERED)

    def num_ending(self, ending: OutcomeKind) -> int:
        """Calls that ended so, for any reason."""
        return sum(count for name, count in self.endings.items() if name.split()[0] == ending.value)

    def to_json(self) -> dict[str, object]:
        """Everything but the histograms, in JSON's types."""
        plain = {name: getattr(self, name) for name in self.__slots__ if not name.endswith("latencies")}
        percentiles = {name: value and asdict(value) for name, value in plain.items() if name.endswith("_ms")}
        return plain | percentiles


def _endings(tally: LoadTally) -> dict[str, int]:
    order = list(OutcomeKind)
    ends = sorted(tally.ends.items(), key=lambda item: (order.index(item[0][0]), -item[1]))
    return {f"{ending.value} {reason}".rstrip(): count for (ending, reason), count in ends}


def _lagged(tally: LoadTally) -> bool:
    allowed_ms = max(MAX_LATENESS_MS, MAX_LATENESS_SHARE * tally.latencies.percentile_ms(50))
    return tally.lateness.percentile_ms(99) > allowed_ms

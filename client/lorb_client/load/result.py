"""LoadResult: counts, rates and percentiles of a load."""

from dataclasses import asdict, dataclass, field

from lorb import __version__
from lorb.server_info import ServerInfo
from lorb_client.load.call_outcome import ANSWERED, OutcomeKind
from lorb_client.load.latencies import Latencies, Percentiles
from lorb_client.load.tally import LoadTally

# The generator has lagged if the 99th percentile of `lateness_ms` exceeds both limits.
MAX_LATENESS_MS = 2.0
MAX_LATENESS_SHARE = 0.1  # share of the median latency


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Result of the measured part of a load, without the warm-up.

    Attributes:
        target: the server, "host:port".
        server: server_version, base_name, device and dtype of the server.
        client_version: the LoRB release of the generator.
        seconds: measured time.
        deadline_seconds: deadline of each call from its scheduled time.
        num_due: number of calls whose scheduled time has come.
        num_sent: number of due calls that were sent.
        num_not_sent: number of due calls that were not sent because of the in-flight limit.
        num_unfinished: number of sent calls still under way at the end of the run.
        offered_per_second: due calls per second.
        answered_per_second: answered calls per second.
        endings: number of calls by outcome and reason, such as "first_pass deadline" or "no_answer unavailable".
        within_deadline: share of the due calls that were answered within the deadline, 0 to 1.
        rescored_hypotheses_per_second: rescored hypotheses per second, in lists rescored in full within the deadline.
        partial_hypotheses_per_second: rescored hypotheses per second, in lists rescored in part within the deadline.
        latency_ms: time from the scheduled time to the end of a call, for any outcome.
        rescored_latency_ms: latency_ms of the calls whose list was rescored in full.
        lateness_ms: time from the scheduled time until the call was sent; the latencies include this time.
        lagged: whether the generator sent so late that the latencies are distorted.
        interrupted: whether the run was interrupted.
        latencies: histogram of latency_ms; not in JSON.
        rescored_latencies: histogram of rescored_latency_ms; not in JSON.
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
        """Computes the result. `seconds` is the planned duration of the measured steps."""
        interrupted_after = tally.interrupted_after_seconds
        measured = seconds if interrupted_after is None else max(1e-9, min(seconds, interrupted_after))
        answered = sum(count for (kind, _), count in tally.outcomes.items() if kind in ANSWERED)
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
            endings=_counts_by_outcome(tally),
            within_deadline=tally.num_within_deadline / max(1, tally.num_due),
            rescored_hypotheses_per_second=tally.scored_within_deadline[OutcomeKind.RESCORED] / measured,
            partial_hypotheses_per_second=tally.scored_within_deadline[OutcomeKind.PARTIAL] / measured,
            latency_ms=tally.latencies.percentiles(),
            rescored_latency_ms=tally.rescored_latencies.percentiles(),
            lateness_ms=tally.lateness.percentiles(),
            lagged=_lagged(tally),
            interrupted=interrupted_after is not None,
            latencies=tally.latencies,
            rescored_latencies=tally.rescored_latencies,
        )

    @property
    def num_answered(self) -> int:
        """Number of answered calls, within the deadline or not."""
        return sum(self.num_with_outcome(kind) for kind in ANSWERED)

    def num_with_outcome(self, kind: OutcomeKind) -> int:
        """Returns the number of calls with an outcome, for any reason."""
        return sum(count for name, count in self.endings.items() if name.split()[0] == kind.value)

    def to_json(self) -> dict[str, object]:
        """Returns all fields but the histograms, in JSON types."""
        plain = {name: getattr(self, name) for name in self.__slots__ if not name.endswith("latencies")}
        percentiles = {name: value and asdict(value) for name, value in plain.items() if name.endswith("_ms")}
        return plain | percentiles


def _counts_by_outcome(tally: LoadTally) -> dict[str, int]:
    order = list(OutcomeKind)
    counts = sorted(tally.outcomes.items(), key=lambda item: (order.index(item[0][0]), -item[1]))
    return {f"{kind.value} {reason}".rstrip(): count for (kind, reason), count in counts}


def _lagged(tally: LoadTally) -> bool:
    allowed_ms = max(MAX_LATENESS_MS, MAX_LATENESS_SHARE * tally.latencies.percentile_ms(50))
    return tally.lateness.percentile_ms(99) > allowed_ms

"""Runs one load, for `lorb-load` and the benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lorb.errors import DeadlineExceeded, InvalidInput, Unavailable
from lorb.nbest import NBest
from lorb.ranked import RescoreOptions
from lorb.server_info import ServerInfo
from lorb_client.access import PLAINTEXT_ACCESS, Access
from lorb_client.calls import CallSettings
from lorb_client.client import Client
from lorb_client.load.arrivals import Arrivals, Step, arrival_times, total_seconds
from lorb_client.load.plan import LoadPlan, run_plan
from lorb_client.load.processes import run_plan_in_processes
from lorb_client.load.result import LoadResult
from lorb_client.load.workload import ONLY_DEFAULT, DomainShare, Workload, truncate_lists

FIRST_CALL_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """Configuration of a load. Raises InvalidInput if a value is out of range.

    Attributes:
        target: the server, "host:port".
        lists: lists to send, drawn in random order; every list is sent once before any list is repeated.
        steps: the measured steps, one after another.
        arrivals: the arrival process.
        deadline_seconds: deadline of each call from its scheduled time.
        warm_up_seconds: duration of the uncounted load before the first step, at the rate of the first step.
        domains: domains with their shares of the calls (default: the server's default domain).
        num_hypotheses: send only this number of best hypotheses of each list; None sends all.
        options: options of every call, except the domain, which `domains` gives.
        seed: random seed; equal seeds give the same calls at the same times.
        num_connections: connections of each process.
        in_flight_limit: maximum number of concurrent calls; calls beyond the limit are counted as not sent.
        num_processes: number of sending processes.
        access: token and TLS.
    """

    target: str
    lists: Sequence[NBest]
    steps: tuple[Step, ...]
    arrivals: Arrivals = Arrivals.POISSON
    deadline_seconds: float = 1.0
    warm_up_seconds: float = 0.0
    domains: tuple[DomainShare, ...] = ONLY_DEFAULT
    num_hypotheses: int | None = None
    options: RescoreOptions = field(default_factory=RescoreOptions)
    seed: int = 0
    num_connections: int = 4
    in_flight_limit: int = 10_000
    num_processes: int = 1
    access: Access = PLAINTEXT_ACCESS

    def __post_init__(self) -> None:
        if not self.warm_up_seconds >= 0:
            raise InvalidInput(f"the warm-up is {self.warm_up_seconds} s: give 0 or more", field="warm_up_seconds")
        if self.warm_up_seconds:
            Step(self.steps[0].rate_per_second, self.warm_up_seconds)  # raises InvalidInput if the warm-up is infinite
        for name in ("num_connections", "in_flight_limit", "num_processes"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}: give 1 or more", field=name)

    @property
    def seconds(self) -> float:
        """Duration of the load with its warm-up, without the wait for the last answers."""
        return self.warm_up_seconds + total_seconds(self.steps)


def run_load(config: LoadConfig) -> LoadResult:
    """Runs a load to its end, or until Ctrl-C. Returns its result.

    Makes one call to each domain beforehand.

    Raises:
        InvalidInput: the configuration is invalid; nothing was sent.
        Unavailable: no server answers.
        LorbError: the server refused the first call to a domain.
    """
    plan = _plan(config)
    info = _make_first_calls(config)
    tally = run_plan(plan) if config.num_processes == 1 else run_plan_in_processes(plan, config.num_processes)
    return LoadResult.of(tally, info, target=config.target, seconds=total_seconds(config.steps))


def _plan(config: LoadConfig) -> LoadPlan:
    settings = CallSettings(config.target, config.deadline_seconds, **config.access.as_arguments())
    times = arrival_times(_with_warm_up(config), config.arrivals, config.seed)
    lists = truncate_lists(config.lists, config.num_hypotheses)
    return LoadPlan(
        settings,
        times,
        Workload.draw(lists, config.domains, config.options, len(times), config.seed),
        config.warm_up_seconds,
        config.num_connections,
        config.in_flight_limit,
    )


def _with_warm_up(config: LoadConfig) -> tuple[Step, ...]:
    if not config.warm_up_seconds:
        return config.steps
    return (Step(config.steps[0].rate_per_second, config.warm_up_seconds), *config.steps)


def _make_first_calls(config: LoadConfig) -> ServerInfo:
    """Makes one call to each domain, so that an unknown domain or a wrong token is an error before the load begins."""
    nbest = truncate_lists(config.lists, config.num_hypotheses)[0]
    with Client(config.target, timeout_seconds=FIRST_CALL_TIMEOUT_SECONDS, **config.access.as_arguments()) as client:
        try:
            info = client.server_info()
        except (Unavailable, DeadlineExceeded) as error:
            raise Unavailable(f"no server answers at {config.target}: {error.message}") from error
        for share in config.domains:
            client.rescore(nbest, RescoreOptions(domain=share.domain))
    return info

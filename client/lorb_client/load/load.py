"""One load on a server, from its description to its result: what `lorb-load` and the benchmarks run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lorb.errors import DeadlineExceeded, InvalidInput, Unavailable
from lorb.nbest import NBest
from lorb.ranked import RescoreOptions
from lorb.server_info import ServerInfo
from lorb_client.access import NO_TOKEN, Access
from lorb_client.calls import CallSettings
from lorb_client.client import Client
from lorb_client.load.arrivals import Arrivals, Step, arrival_times, total_seconds
from lorb_client.load.mix import ONLY_DEFAULT, DomainShare, Mix, cut
from lorb_client.load.plan import LoadPlan, carry_out, carry_out_in_processes
from lorb_client.load.result import LoadResult

MAX_GREETING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """What is asked of which server, how often, for how long.

    Attributes:
        target: the server, "host:port".
        lists: drawn from, each once before any comes again.
        steps: rates held one after the other; measured.
        arrivals: how calls are spread in time.
        deadline_seconds: of each call, from the moment it is due.
        warm_up_seconds: calls at the first step's rate before it, not counted.
        domains: shares of the calls; by default all go to the server's default domain.
        num_hypotheses: lists are cut to their best so many; None sends them whole.
        options: of every call; its `domain` gives way to `domains`.
        seed: of arrivals and draws; the same seed makes the same calls at the same times.
        num_connections: of each process.
        in_flight_limit: calls under way at once; a call beyond it is not sent, and counted as such.
        num_processes: that send, where one cannot keep up.
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
    access: Access = NO_TOKEN

    def __post_init__(self) -> None:
        if not self.warm_up_seconds >= 0:
            raise InvalidInput(f"the warm-up is {self.warm_up_seconds} s: give 0 or more", field="warm_up_seconds")
        if self.warm_up_seconds:
            Step(self.steps[0].rate_per_second, self.warm_up_seconds)
        for name in ("num_connections", "in_flight_limit", "num_processes"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}: give 1 or more", field=name)

    @property
    def seconds(self) -> float:
        """How long it takes, warm-up included, beyond which answers are only waited for."""
        return self.warm_up_seconds + total_seconds(self.steps)


def run_load(config: LoadConfig) -> LoadResult:
    """Runs a load to its end, or to Ctrl-C, and returns what was found.

    Raises LorbError: InvalidInput before the first call where something is wrong with the description; what the
    server says to one call of each domain beforehand; Unavailable where nobody answers.
    """
    plan = _plan(config)
    info = _greeted(config)
    tally = carry_out(plan) if config.num_processes == 1 else carry_out_in_processes(plan, config.num_processes)
    return LoadResult.of(tally, info, target=config.target, seconds=total_seconds(config.steps))


def _plan(config: LoadConfig) -> LoadPlan:
    settings = CallSettings(config.target, config.deadline_seconds, **config.access.arguments())
    times = arrival_times(_with_warm_up(config), config.arrivals, config.seed)
    lists = cut(config.lists, config.num_hypotheses)
    return LoadPlan(
        settings,
        times,
        Mix.of(lists, config.domains, config.options, len(times), config.seed),
        config.warm_up_seconds,
        config.num_connections,
        config.in_flight_limit,
    )


def _with_warm_up(config: LoadConfig) -> tuple[Step, ...]:
    if not config.warm_up_seconds:
        return config.steps
    return (Step(config.steps[0].rate_per_second, config.warm_up_seconds), *config.steps)


def _greeted(config: LoadConfig) -> ServerInfo:
    """One call for each domain: what cannot be served is found out before the load and told in words."""
    nbest = cut(config.lists, config.num_hypotheses)[0]
    with Client(config.target, timeout_seconds=MAX_GREETING_SECONDS, **config.access.arguments()) as client:
        try:
            info = client.server_info()
        except (Unavailable, DeadlineExceeded) as error:
            raise Unavailable(f"no server answers at {config.target}: {error.message}") from error
        for share in config.domains:
            client.rescore(nbest, RescoreOptions(domain=share.domain))
    return info

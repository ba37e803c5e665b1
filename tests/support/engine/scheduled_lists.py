"""Schedulers, and lists to offer them, for the tests of the queue before the model."""

from lorb.ranked import AdapterRef
from lorb_adapters.text import EncodedHypothesis
from lorb_server.adapter import AdapterHandle
from lorb_server.call import Call, Priority
from lorb_server.engine.batch import Batch
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.engine.scheduling.scheduler import Admission, Scheduler
from support.servers.stub_model import adapter_handle

ADMITTED, PROBE = Admission.ADMITTED, Admission.PROBE
QUEUE_FULL, TOO_LATE = Admission.QUEUE_FULL, Admission.TOO_LATE
_RANKING, _NORMALIZATION = adapter_handle(1).ranking, adapter_handle(1).normalization


def make_scheduler(*, batch: int = 100, queue: int = 1000, bulk_queue: int = 1000, **limits: float) -> Scheduler:
    """A scheduler that has not observed any pass."""
    return Scheduler(max_batch_tokens=batch, max_queue_tokens=queue, max_bulk_queue_tokens=bulk_queue, **limits)


def timed_scheduler(fixed: float = 0.01, per_token: float = 0.001, **limits: float) -> Scheduler:
    """A scheduler that has learned that a pass takes `fixed` and `per_token` seconds."""
    scheduler = make_scheduler(**{"batch": 1000, "queue": 1_000_000, **limits})
    for tokens in [10, 1000, 100, 300] * 20:
        scheduler.forecast.cost.observe(tokens, fixed + per_token * tokens)
    scheduler.finish(Batch(), 0.0, 0.0, read_tokens=0)  # busy until just now
    return scheduler


def call(name: str, answer_by: float, priority: Priority = Priority.INTERACTIVE, domain: str = "") -> Call:
    """A call of a domain, by default its own; its adapter's version is its name."""
    ref = AdapterRef(domain or name, name, "")
    adapter = AdapterHandle(ref, _RANKING, _NORMALIZATION, uses_context=False)
    return Call(adapter=adapter, answer_by=answer_by, priority=priority)


def entry(
    name: str,
    tokens: int = 10,
    answer_by: float = 100.0,
    *,
    bulk: bool = False,
    at: float = 0.0,
    domain: str = "",
    priority: Priority | None = None,
) -> Entry:
    """A list of one hypothesis."""
    priority = priority or (Priority.BATCH if bulk else Priority.INTERACTIVE)
    return _entry(call(name, answer_by, priority, domain), (tokens,), 1, at)


def cuttable(name: str, *tokens: int, answer_by: float, minimum: int = 2, at: float = 0.0, domain: str = "") -> Entry:
    """A list that may be cut."""
    return _entry(call(name, answer_by, domain=domain), tokens, minimum, at)


def name_of(one: Entry) -> str:
    """The name that the list was made with."""
    return one.call.adapter.ref.version


def names(entries: list[Entry]) -> list[str]:
    """The names that the lists were made with."""
    return [name_of(each) for each in entries]


def offer_all(scheduler: Scheduler, *entries: Entry) -> None:
    """Offers lists that must all be admitted."""
    for each in entries:
        assert scheduler.offer(each, each.enqueued_at) is ADMITTED


def _entry(of_call: Call, tokens: tuple[int, ...], minimum: int, at: float) -> Entry:
    hypotheses = [EncodedHypothesis((0,) * count, (0,) * count, 0, truncated=False) for count in tokens]
    one = Entry(of_call, hypotheses, minimum, None)
    one.enqueued_at = at
    return one

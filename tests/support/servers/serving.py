"""Servers and stand-ins for tests: a real server on free ports, a model whose scores tell the text."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import grpc
import torch

from lorb.nbest import Hypothesis, NBest
from lorb.ranked import AdapterRef
from lorb.v1 import admin_pb2_grpc, rescoring_pb2_grpc
from lorb.v1 import rescoring_pb2 as pb
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, base_only_weights
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.store.store import Store
from lorb_adapters.text import EncodedHypothesis, TextNormalization
from lorb_server.adapter import AdapterHandle
from lorb_server.app import App, Ports
from lorb_server.build import ServerParts
from lorb_server.call import Priority
from lorb_server.config import ServeConfig
from lorb_server.engine.batch import Request
from lorb_server.engine.device import choose_placement
from lorb_server.registry.registry import Registry

RANKING = Ranking(1.0, 1.0, 0.0, RankPrior((-0.3, -1.5, -2.5), 0.7, 0.9))
WAIT_SECONDS = 120.0  # how long a test waits for what must come, on a busy machine too; nothing is measured against it


def scored_list(*transcripts: str, id: str = "u") -> NBest:  # noqa: A002
    """A list with falling first-pass scores."""
    return NBest(tuple(Hypothesis(text, -float(i)) for i, text in enumerate(transcripts)), id=id)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def row(*token_ids: int) -> EncodedHypothesis:
    """A row of these tokens, all in segment 0, scored from the second one."""
    return EncodedHypothesis(token_ids, (0,) * len(token_ids), 1, truncated=False)


def adapter_weights(number: int) -> AdapterWeights:
    """Weights that TellingModel can tell from others by their number."""
    return base_only_weights(HeadWeights("sum", torch.zeros(2), torch.tensor(float(number))))


def request(
    *rows: EncodedHypothesis,
    number: int = 1,
    answer_by: float = 1e12,
    lane: Priority = Priority.INTERACTIVE,
    minimum_rows: int | None = None,
    domain: str = "voice",
) -> Request:
    """Rows for the engine under the adapter of this number; all or nothing unless `minimum_rows` says less."""
    rows = rows or (row(1, 2),)
    tokens = tuple(accumulate(each.num_tokens for each in rows))
    return Request(
        rows, tokens, minimum_rows or len(rows), domain, f"{number:064x}", adapter_weights(number), answer_by, lane
    )


def adapter_handle(number: int, domain: str = "voice") -> AdapterHandle:
    """An adapter that TellingModel can tell from others by its number."""
    ref = AdapterRef(domain, f"{number + 1}-{number:012x}", f"{number:064x}")
    return AdapterHandle(ref, RANKING, TextNormalization(), uses_context=False)


def selected(registry: Registry, domain: str, routing_key: str = "caller") -> AdapterHandle:
    """The adapter of a domain that is warm: one for which nothing must be awaited."""
    routing = registry.route(domain, routing_key)
    try:
        routing.send(None)
    except StopIteration as done:
        adapter: AdapterHandle = done.value.adapter
        return adapter
    finally:
        routing.close()
    raise AssertionError(f"{domain} is not at hand")


def telling_score(of_row: EncodedHypothesis, weights: AdapterWeights) -> float:
    """What TellingModel gives a row: another number for other tokens or another adapter."""
    mixed = 0
    for token_id in of_row.token_ids:
        mixed = (31 * mixed + token_id) % 9973
    return mixed + 10_000 * float(weights.head.bias)


class Told:
    """Scores that come when the device is done."""

    def __init__(self, scores: torch.Tensor, device: threading.Event | None) -> None:
        self._scores = scores
        self._device = device

    @property
    def is_ready(self) -> bool:
        """Whether the device is done."""
        return self._device is None or self._device.is_set()

    def collect(self) -> torch.Tensor:
        """Waits for it."""
        assert self._device is None or self._device.wait(WAIT_SECONDS)
        return self._scores


class TellingModel:
    """Stands in for the model: its scores tell the row's tokens and adapter. May be held, or made to raise."""

    def __init__(self) -> None:
        self.passes: list[int] = []  # rows in each
        self.trouble: BaseException | None = None
        self.poison: EncodedHypothesis | None = None  # a row that makes its pass raise
        self.most_rows = 1_000_000  # what its memory holds
        self.answer: Callable[[list[float]], list[float]] | None = None  # what to say instead of the truth
        self.device: threading.Event | None = None  # what works by itself, and is done when this is set
        self.launches: list[int] = []  # rows in each pass launched on it
        self.on_pass: Callable[[Sequence[EncodedHypothesis]], object] = lambda rows: None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def launch(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> "Told":
        """Scores at once, as on a CPU; or, where `device` is held, later, as an accelerator does."""
        if self.device is None:
            return Told(self.score(rows, adapters, row_adapters), None)
        self.launches.append(len(rows))
        return Told(self._tell(rows, adapters, row_adapters), self.device)

    def score(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> torch.Tensor:
        """Waits for the gate, then scores or raises."""
        self.entered.set()
        assert self.gate.wait(WAIT_SECONDS)
        if self.trouble is not None:
            raise self.trouble
        if self.poison in rows:
            raise ValueError("about a row")
        if len(rows) > self.most_rows:
            raise torch.OutOfMemoryError("no room")
        self.passes.append(len(rows))
        self.on_pass(rows)
        return self._tell(rows, adapters, row_adapters)

    def _tell(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> torch.Tensor:
        pairs = zip(rows, row_adapters, strict=True)
        told = [telling_score(one, adapters[which]) for one, which in pairs]
        return torch.tensor(self.answer(told) if self.answer else told)


class SimulatedClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class RunningServer:
    """A server on an event loop in a thread of its own, with stubs to call it."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self.app: App
        self.ports: Ports
        self.exit_status: int | None = None
        self._trouble: BaseException | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, name="server under test")
        self._channels: list[grpc.Channel] = []

    def start(self) -> None:
        """Returns when it serves; raises what kept it from doing so."""
        self._thread.start()
        assert self._ready.wait(WAIT_SECONDS)
        if self._trouble is not None:
            self._thread.join()
            raise self._trouble
        target = f"127.0.0.1:{self.ports.port}"
        self.channel = self._open(target)
        self.stub = rescoring_pb2_grpc.RescoringServiceStub(self.channel)
        if self.ports.admin_port is not None:
            self.admin_channel = self._open(f"127.0.0.1:{self.ports.admin_port}")
            self.admin = admin_pb2_grpc.AdapterAdminServiceStub(self.admin_channel)

    @property
    def target(self) -> str:
        """Where it serves."""
        return f"127.0.0.1:{self.ports.port}"

    def rescore(self, *transcripts: str, **fields: Any) -> pb.RescoreResponse:
        """Rescores a list with falling first-pass scores."""
        hypotheses = [pb.Hypothesis(transcript=t, first_pass_score=-float(i)) for i, t in enumerate(transcripts)]
        timeout = fields.pop("timeout", WAIT_SECONDS)
        metadata = fields.pop("metadata", ())
        request = pb.RescoreRequest(hypotheses=hypotheses, **{"domain": "voice", **fields})
        return self.stub.Rescore(request, timeout=timeout, metadata=metadata)

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Runs a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(WAIT_SECONDS)

    def sample(self, name: str, **labels: str) -> float:
        """A metric's value now; 0 where it has none yet."""
        return self.app.metrics.registry.get_sample_value(name, labels) or 0.0

    def stop(self) -> int:
        """Ends it and returns the exit status."""
        for channel in self._channels:
            channel.close()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.app.stop)
        return self.join()

    def join(self) -> int:
        """Waits for its end and returns the exit status."""
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()
        assert self.exit_status is not None
        return self.exit_status

    def _open(self, target: str) -> grpc.Channel:
        channel = grpc.insecure_channel(
            target,
            options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)],
        )
        self._channels.append(channel)
        return channel

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            placement = choose_placement(self.config)
            dtype = placement.dtype if placement.device == "cuda" else torch.float32
            base = load_base(self.config.base, device=placement.device, dtype=dtype)
            self.app = App(self.config, ServerParts(base, placement, Store(self.config.store)))
            self.ports = await self.app.start()
        except BaseException as error:
            self._trouble = error
            return
        finally:
            self._ready.set()
        self.exit_status = await self.app.wait()


@contextmanager
def running_server(base_folder: Path, store_folder: Path, **settings: Any) -> Iterator[RunningServer]:
    """A server that serves `store_folder`, ended afterwards; a store's change serves within hundredths of a second."""
    defaults = {
        "base": str(base_folder),
        "store": str(store_folder),
        "device": "cpu",
        "port": 0,
        "admin_port": 0,
        "metrics_port": 0,
        "drain_seconds": 0.0,
        "poll_seconds": 0.02,
        "default_deadline_seconds": WAIT_SECONDS,
    }
    server = RunningServer(ServeConfig(**{**defaults, **settings}))
    server.start()
    try:
        yield server
    finally:
        server.stop()

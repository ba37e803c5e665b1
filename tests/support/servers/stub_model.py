"""A stand-in for the model whose scores depend on tokens and adapter, with hypotheses and adapters for it."""

import threading
from collections.abc import Callable, Sequence

import torch

from lorb.ranked import AdapterRef
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, base_only_weights
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.text import EncodedHypothesis, TextNormalization
from lorb_server.adapter import AdapterHandle
from support.servers.serving import WAIT_SECONDS, RunningServer

RANKING = Ranking(1.0, 1.0, 0.0, RankPrior((-0.3, -1.5, -2.5), 0.7, 0.9))


def row(*token_ids: int) -> EncodedHypothesis:
    """A hypothesis of these tokens, all in segment 0, scored from the second one."""
    return EncodedHypothesis(token_ids, (0,) * len(token_ids), 1, truncated=False)


def adapter_weights(number: int) -> AdapterWeights:
    """Adapter weights that StubModel distinguishes by their number."""
    return base_only_weights(HeadWeights("sum", torch.zeros(2), torch.tensor(float(number))))


def adapter_handle(number: int, domain: str = "voice") -> AdapterHandle:
    """The handle of the adapter with `adapter_weights(number)`."""
    ref = AdapterRef(domain, f"{number + 1}-{number:012x}", f"{number:064x}")
    return AdapterHandle(ref, RANKING, TextNormalization(), uses_context=False)


def stub_score(hypothesis: EncodedHypothesis, weights: AdapterWeights) -> float:
    """The score that StubModel gives a hypothesis: it depends on the token ids and on the adapter."""
    value = 0
    for token_id in hypothesis.token_ids:
        value = (31 * value + token_id) % 9973
    return value + 10_000 * float(weights.head.bias)


class StubScores:
    """Scores that become available when the simulated device has finished."""

    def __init__(self, scores: torch.Tensor, device: threading.Event | None) -> None:
        self._scores = scores
        self._device = device

    @property
    def is_ready(self) -> bool:
        """Whether the device has finished."""
        return self._device is None or self._device.is_set()

    def collect(self) -> torch.Tensor:
        """Waits for the device and returns the scores."""
        assert self._device is None or self._device.wait(WAIT_SECONDS)
        return self._scores


class StubModel:
    """Stands in for the model: scores by token ids and adapter. A test can hold it, or make it raise.

    Attributes:
        passes: the number of hypotheses in each pass.
        trouble: raised by every pass.
        poison: a hypothesis that makes its pass raise.
        max_rows: hypotheses that fit in its memory; more raise torch.OutOfMemoryError.
        answer: changes the scores of a pass.
        device: simulates an accelerator, which finishes when the event is set; None for a CPU.
        launches: the number of hypotheses in each pass launched on the device.
        on_pass: called with the hypotheses of each pass.
        gate: passes wait for it.
        entered: set when a pass begins.
    """

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.trouble: BaseException | None = None
        self.poison: EncodedHypothesis | None = None
        self.max_rows = 1_000_000
        self.answer: Callable[[list[float]], list[float]] | None = None
        self.device: threading.Event | None = None
        self.launches: list[int] = []
        self.on_pass: Callable[[Sequence[EncodedHypothesis]], object] = lambda rows: None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def launch(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> StubScores:
        """Scores at once, as on a CPU; with a `device`, when it has finished."""
        if self.device is None:
            return StubScores(self.score(rows, adapters, row_adapters), None)
        self.launches.append(len(rows))
        return StubScores(self._scores(rows, adapters, row_adapters), self.device)

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
        if len(rows) > self.max_rows:
            raise torch.OutOfMemoryError("no room")
        self.passes.append(len(rows))
        self.on_pass(rows)
        return self._scores(rows, adapters, row_adapters)

    def _scores(
        self, rows: Sequence[EncodedHypothesis], adapters: Sequence[AdapterWeights], row_adapters: Sequence[int]
    ) -> torch.Tensor:
        pairs = zip(rows, row_adapters, strict=True)
        scores = [stub_score(hypothesis, adapters[index]) for hypothesis, index in pairs]
        return torch.tensor(self.answer(scores) if self.answer else scores)


def use_stub_model(server: RunningServer, model: StubModel) -> None:
    """Makes every worker of a running server score with a stub model."""
    for worker in server.app.engine._workers:
        worker._parts.runner._model = model

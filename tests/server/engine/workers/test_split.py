"""lorb_server.engine.workers.split: how many workers share the CPU threads."""

import threading

import pytest

from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_server.engine.workers.split import Split, choose_split, fastest


@pytest.fixture(scope="module")
def model(tiny_bert):
    """A tiny model on the CPU."""
    return RescoringModel(load_base(str(tiny_bert)))


@pytest.mark.parametrize(
    ("threads", "given", "split"),
    [
        (8, {"workers": 3}, Split(3, 2)),
        (8, {"threads_per_worker": 4}, Split(2, 4)),
        (8, {"workers": 2, "threads_per_worker": 1}, Split(2, 1)),
        (2, {"workers": 4}, Split(4, 1)),
        (1, {}, Split(1, 1)),
    ],
)
def test_the_settings_decide(model, threads, given, split):
    """A split that the settings determine is taken without a measurement."""
    assert choose_split(model, threads, **given) == split


def test_the_fastest_split_is_measured_on_new_threads(model):
    """Without settings, all splits of the threads are measured; the threads that did it end."""
    before = threading.active_count()
    chosen = choose_split(model, 2)
    assert chosen in (Split(2, 1), Split(1, 2))
    assert threading.active_count() == before


def test_several_threads_must_be_clearly_faster():
    """Workers with more threads are taken only if they are over 1.1 times as fast as workers with fewer."""
    assert fastest({Split(4, 1): 100.0, Split(2, 2): 109.0, Split(1, 4): 109.0}) == Split(4, 1)
    assert fastest({Split(4, 1): 100.0, Split(2, 2): 150.0, Split(1, 4): 160.0}) == Split(2, 2)


def test_an_error_of_the_model_ends_the_measurement(model, monkeypatch):
    """What the model raises reaches the caller, although the other worker waits for it."""
    calls = iter([None, RuntimeError("no memory")])
    original = RescoringModel.score

    def score(self, rows, adapters, row_adapters):
        error = next(calls, None)
        if error is not None:
            raise error
        return original(self, rows, adapters, row_adapters)

    monkeypatch.setattr(RescoringModel, "score", score)
    with pytest.raises(RuntimeError, match=r"^no memory$"):
        choose_split(model, 2)

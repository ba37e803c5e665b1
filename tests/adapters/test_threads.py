"""lorb_adapters.threads: the CPU threads that torch computes with."""

import threading

import pytest
import torch

from lorb_adapters.threads import prepare_model_thread, use_threads


def test_each_thread_computes_on_its_own_number_of_threads():
    """A thread's number of compute threads does not change when another thread sets its own."""
    given, counted = threading.Event(), {}

    def model():
        use_threads(3)
        given.set()
        other.join()
        counted["model"] = torch.get_num_threads()

    def others():
        assert given.wait(20)
        use_threads(1)
        counted["other"] = torch.get_num_threads()

    before = torch.get_num_threads()
    other, model_thread = threading.Thread(target=others), threading.Thread(target=model)
    other.start()
    model_thread.start()
    model_thread.join()
    assert counted == {"model": 3, "other": 1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_model_thread_flushes_subnormal_numbers(num_threads):
    """On a worker and the threads that compute with it, every subnormal result is 0; elsewhere none is."""
    zeros = {}

    def count(name, prepare):
        prepare(num_threads)
        weights = torch.full((1_000_000,), 1e-39)
        zeros[name] = int(((weights * 1.0).view(torch.int32) == 0).sum())

    for name, prepare in (("other", use_threads), ("model", prepare_model_thread), ("other after", use_threads)):
        thread = threading.Thread(target=count, args=(name, prepare))
        thread.start()
        thread.join()
    assert zeros == {"other": 0, "model": 1_000_000, "other after": 0}

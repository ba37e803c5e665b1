"""The CPU threads that torch computes with."""

import torch

from lorb_adapters.cores import usable_cores


def default_threads() -> int:
    """The number of threads that may compute at once: torch's number, within the cores that this process may use."""
    return min(torch.get_num_threads(), usable_cores())


def use_threads(count: int) -> None:
    """Sets how many threads torch uses for the calling thread's computations; the calling thread is one of them.

    OpenMP keeps helper threads for every thread that ever computed with more than one. If these threads outnumber the
    cores, libgomp lets them sleep at each barrier instead of spinning, and a batch of one list takes 1.4 times as long.
    """
    torch.get_num_threads()  # torch's first use in a thread sets a default number: it must come before the next line
    torch.set_num_threads(count)


def prepare_model_thread(num_threads: int) -> None:
    """Sets the number of threads that the calling thread's computations use, and makes them flush subnormal numbers.

    An adapter or a base with subnormal weights, or with activations that become subnormal, would make passes several
    times slower. Call it only in threads that run a model: elsewhere the weights keep the bits that are hashed.
    """
    use_threads(num_threads)
    torch.set_flush_denormal(True)  # also for the threads that compute with this one

"""Computes the frozen layers below a method's first trained layer once, and caches their hidden states on disk."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.encoder.layer_cache import CacheLayout, LayerCache
from lorb_adapters.training.methods.lora import Lora
from lorb_adapters.training.methods.method import Method
from lorb_adapters.training.processes import Processes
from lorb_adapters.training.progress import TrainingProgress


def cache_frozen_layers(
    method: Method,
    folder: Path,
    train_lists: Sequence[EncodedList],
    dev_lists: Sequence[EncodedList],
    processes: Processes,
    progress: TrainingProgress,
) -> LayerCache:
    """Returns the cache in `folder`; the main process first fills it, unless it is complete already.

    Raises InvalidInput if the disk has not enough space, or if a process on another machine cannot read the folder.
    """
    lists = [each.with_reference() for each in train_lists]
    if not isinstance(method, Lora):  # Lora scores dev with the inference encoder, which runs all layers
        lists += dev_lists
    layout = CacheLayout.of(
        f"{method.base.fingerprint} {method.first_trained_layer} {method.config.head}",
        [row for each in lists for row in each.rows],
        method.base.hidden_size,
        method.dtype if method.caches_per_token else torch.float32,
        per_token=method.caches_per_token,
    )
    if processes.is_main and not LayerCache.is_complete(folder, layout):
        _fill(method, folder, layout, progress)
    processes.barrier()
    if not LayerCache.is_complete(folder, layout):
        raise InvalidInput(
            f"process {processes.rank} does not find the hidden states that process 0 wrote in {folder}: give "
            "a --run-dir that all machines share, or --no-layer-cache",
            field="run-dir",
        )
    return LayerCache(folder, layout)


def _fill(method: Method, folder: Path, layout: CacheLayout, progress: TrainingProgress) -> None:
    progress.log(
        f"computing the frozen layers of {len(layout.rows):,} rows once: {layout.size_bytes / 2**20:,.0f} MiB "
        f"in {folder}"
    )
    num_done = 0

    def compute(rows: Sequence[EncodedHypothesis]) -> Tensor:
        nonlocal num_done
        vectors = method.frozen_hidden_states(rows)
        num_done += len(rows)
        progress.report_preparation("frozen layers", num_done, len(layout.rows))
        return vectors

    LayerCache.build(folder, layout, compute)

"""Computes figures of weight updates and of activations by layer."""

from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean

from torch import Tensor

from study.table8_lora_vs_full.activations import Activations
from study.table8_lora_vs_full.similarity import jensen_shannon, linear_cka
from study.table8_lora_vs_full.spectrum import directions, spectrum, subspace_overlap


def spectra(updates: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """The spectrum of each linear layer's update, by path, to five significant digits."""
    return {path: rounded(asdict(spectrum(update, weights[path]))) for path, update in updates.items()}


def overlap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, float]:
    """The overlap of the strongest directions of two updates and that expected by chance, averaged over linear layers.

    Returns "left" (output directions), "right" (input directions) and both "by_chance", 0 to 1.
    """
    found = []
    for path in sorted(one.keys() & other.keys()):
        ours, theirs = directions(one[path]), directions(other[path])
        outputs, inputs = one[path].shape
        found.append({
            "left": subspace_overlap(ours.left, theirs.left),
            "right": subspace_overlap(ours.right, theirs.right),
            "left_by_chance": ours.left.shape[1] / outputs,
            "right_by_chance": ours.right.shape[1] / inputs,
        })  # fmt: skip
    return {name: fmean(each[name] for each in found) for name in found[0]}


def cka_by_layer(one: Activations, other: Activations) -> list[float]:
    """Linear CKA of the hidden states, the embeddings' output first."""
    return [linear_cka(a, b) for a, b in zip(one.hidden, other.hidden, strict=True)]


def attention_change(one: Activations, other: Activations) -> list[float]:
    """Jensen-Shannon divergence of attention maps in bits, by layer: the mean over heads, hypotheses and tokens."""
    changes = []
    for maps, others in zip(one.attention, other.attention, strict=True):
        lines = [jensen_shannon(a, b).flatten() for a, b in zip(maps, others, strict=True)]
        changes.append(sum(float(of_row.sum()) for of_row in lines) / sum(len(of_row) for of_row in lines))
    return changes


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Rounds figures to five significant digits."""
    return {name: float(f"{value:.5g}") for name, value in figures.items()}

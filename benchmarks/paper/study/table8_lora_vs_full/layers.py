"""Figures by layer: of updates, and of what an encoder computes before and after them."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean

from torch import Tensor

from study.table8_lora_vs_full.activations import Activations
from study.table8_lora_vs_full.similarity import jensen_shannon, linear_cka
from study.table8_lora_vs_full.spectrum import directions, spectrum, subspace_overlap

_LAYER = re.compile(r"layer\.(\d+)\.(.+)")


def spectra(updates: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """A Spectrum for each site, by its path; to five digits."""
    return {path: rounded(asdict(spectrum(update, weights[path]))) for path, update in updates.items()}


def overlap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, float]:
    """What the strongest directions of two updates share, and what chance gives: means over the sites that both change.

    left: of what is written; right: of what is read; 0 to 1 (`study.table8_lora_vs_full.spectrum.subspace_overlap`).
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
    """Jensen-Shannon divergence of attention maps in bits, by layer: the mean over heads, rows and their tokens."""
    changes = []
    for maps, others in zip(one.attention, other.attention, strict=True):
        lines = [jensen_shannon(a, b).flatten() for a, b in zip(maps, others, strict=True)]
        changes.append(sum(float(of_row.sum()) for of_row in lines) / sum(len(of_row) for of_row in lines))
    return changes


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """To five digits: a record is read by people too."""
    return {name: float(f"{value:.5g}") for name, value in figures.items()}


def by_layer(figures: Mapping[str, Mapping[str, float]], name: str) -> list[float]:
    """The mean of a figure over the sites of each layer, lowest layer first."""
    layers: defaultdict[int, list[float]] = defaultdict(list)
    for path, of_site in figures.items():
        layers[place_of(path)[0]].append(of_site[name])
    return [fmean(layers[layer]) for layer in sorted(layers)]


def by_site(figures: Mapping[str, Mapping[str, float]], name: str) -> dict[str, float]:
    """The mean of a figure over the layers, by the site's path within a layer."""
    sites: defaultdict[str, list[float]] = defaultdict(list)
    for path, of_site in figures.items():
        sites[place_of(path)[1]].append(of_site[name])
    return {site: fmean(values) for site, values in sites.items()}


def place_of(path: str) -> tuple[int, str]:
    """The number of a site's layer, and its path within it. Raises ValueError where it is in none."""
    found = _LAYER.search(path)
    if found is None:
        raise ValueError(f"{path} is in no layer")
    return int(found[1]), found[2]

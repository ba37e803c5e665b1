"""Averages a figure of linear layers by encoder layer, or by the linear layer's path in it."""

import re
from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

_LAYER = re.compile(r"layer\.(\d+)\.(.+)")


def by_layer(figures: Mapping[str, Mapping[str, float]], name: str) -> list[float]:
    """The mean of a figure over the linear layers of each encoder layer, lowest first."""
    layers: defaultdict[int, list[float]] = defaultdict(list)
    for path, of_site in figures.items():
        layers[place_of(path)[0]].append(of_site[name])
    return [fmean(layers[layer]) for layer in sorted(layers)]


def by_site(figures: Mapping[str, Mapping[str, float]], name: str) -> dict[str, float]:
    """The mean of a figure over the encoder layers, by the linear layer's path in them."""
    sites: defaultdict[str, list[float]] = defaultdict(list)
    for path, of_site in figures.items():
        sites[place_of(path)[1]].append(of_site[name])
    return {site: fmean(values) for site, values in sites.items()}


def place_of(path: str) -> tuple[int, str]:
    """(number of the encoder layer, path in it) of a linear layer's path. Raises ValueError if it is in no layer."""
    found = _LAYER.search(path)
    if found is None:
        raise ValueError(f"{path} is in no layer")
    return int(found[1]), found[2]

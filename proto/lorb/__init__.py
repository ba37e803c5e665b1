"""Types, errors, wire format and file formats that client, server and trainer share. Does not import torch."""

from lorb.errors import LorbError
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import (
    AdapterRef,
    FallbackPolicy,
    FallbackReason,
    Outcome,
    Ranked,
    RankedHypothesis,
    RescoreOptions,
    Selection,
    Timings,
)

__version__ = "0.1.0"

__all__ = [
    "AdapterRef",
    "FallbackPolicy",
    "FallbackReason",
    "Hypothesis",
    "LorbError",
    "NBest",
    "Outcome",
    "Ranked",
    "RankedHypothesis",
    "RescoreOptions",
    "Selection",
    "Timings",
]

"""Word errors of a set list by list, with weights that were not tuned on the lists they are counted on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from study.harness.records import write_whole

if TYPE_CHECKING:  # torch takes seconds to import, and the pages need none
    from lorb_adapters.ranking import RankPrior
    from lorb_adapters.training.data.encoded_lists import ReferencedList
    from lorb_adapters.training.evaluation.tuning import ScoredList

SETS = "sets"  # the folder of results that has what is the same whatever rescored a set


@dataclass(frozen=True, slots=True)
class SetCounts:
    """A set before it is rescored, list by list in the order of its file: words, errors of first pass and oracle."""

    name: str
    words: np.ndarray
    first_pass: np.ndarray
    oracle: np.ndarray

    @classmethod
    def of(cls, name: str, num_words: Sequence[int], errors: Sequence[Sequence[int]]) -> "SetCounts":
        """Of lists: words of each reference, errors of each hypothesis."""
        first_pass, oracle = (np.array([choose(each) for each in errors]) for choose in (lambda e: e[0], min))
        return cls(name, np.array(num_words), first_pass, oracle)

    @classmethod
    def read(cls, results: Path, name: str) -> "SetCounts":
        """From the folder of results."""
        content = json.loads((results / SETS / f"{name}.json").read_text(encoding="utf-8"))
        return cls(name, *(unpacked(content[key]) for key in ("words", "first_pass", "oracle")))

    def write(self, results: Path) -> None:
        """Into the folder of results."""
        content = {key: packed(getattr(self, key)) for key in ("words", "first_pass", "oracle")}
        write_whole(results / SETS / f"{self.name}.json", json.dumps(content, indent=1) + "\n")

    def wer(self, errors: np.ndarray) -> float:
        """Pooled, per cent."""
        return float(100 * errors.sum() / max(1, self.words.sum()))


def packed(counts: Sequence[int] | np.ndarray) -> str:
    """Counts as one text: a line of a record, not hundreds."""
    return " ".join(str(int(count)) for count in counts)


def unpacked(text: str) -> np.ndarray:
    """The counts again."""
    return np.array(text.split(), dtype=int)


def cross_fitted_errors(
    lists: "Sequence[ReferencedList]", scores: Sequence[Sequence[float]], prior: "RankPrior", *, margin: bool = True
) -> list[int]:
    """Errors of what comes first in each list: weight (and switching margin) are tuned on the other half of the set.

    The halves are drawn by the lists' ids.
    """
    from lorb_adapters.training.evaluation.tuning import scored

    return cross_fitted(scored(lists, scores, prior), [half(each.nbest.id) for each in lists], margin=margin)


def cross_fitted(lists: "Sequence[ScoredList]", halves: Sequence[int], *, margin: bool = True) -> list[int]:
    """The same of lists that have their scores. halves: 0 or 1 for each list."""
    from lorb_adapters.training.evaluation.tuning import tune_switching_margin, tune_weight

    tuned = {}
    for held_out in (0, 1):
        others = [each for each, side in zip(lists, halves, strict=True) if side != held_out]
        weight = tune_weight(others)
        tuned[held_out] = (weight, tune_switching_margin(others, weight) if margin else 0.0)
    return [each.errors[each.chosen(*tuned[side])] for each, side in zip(lists, halves, strict=True)]


def half(list_id: str) -> int:
    """0 or 1, by the id alone."""
    return hashlib.sha256(f"half {list_id}".encode()).digest()[0] % 2


def set_figures(counts: SetCounts, errors: Sequence[int]) -> dict[str, Any]:
    """What a record says of a set: its name, the WER in per cent, and the errors list by list."""
    return {"set": counts.name, "wer": round(counts.wer(np.array(errors)), 4), "errors": packed(errors)}

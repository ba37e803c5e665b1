"""Counts the word errors of each list of a set, with weights tuned on other lists."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from study.harness.json_lines import append_line, read_lines

if TYPE_CHECKING:  # torch takes seconds to import, and pages do not need it
    from lorb_adapters.ranking import RankPrior
    from lorb_adapters.training.data.encoded_lists import EncodedList
    from lorb_adapters.training.evaluation.tuning import ScoredList

SETS = "sets.jsonl"  # in the folder of results: a line for each set, with its counts before rescoring
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_COUNT = re.compile(r"\((\d+)\)|([0-9a-z])")


@dataclass(frozen=True, slots=True)
class SetCounts:
    """A set before rescoring, list by list in the order of its file.

    Attributes:
        name: name of the set.
        words: [lists] words of each reference.
        first_pass, oracle: [lists] word errors of the first hypothesis, and of the best one.
    """

    name: str
    words: np.ndarray
    first_pass: np.ndarray
    oracle: np.ndarray

    @classmethod
    def of(cls, name: str, num_words: Sequence[int], errors: Sequence[Sequence[int]]) -> "SetCounts":
        """Makes the counts. num_words: [lists]. errors: [lists] of [hypotheses], word errors."""
        first_pass, oracle = (np.array([choose(each) for each in errors]) for choose in (lambda e: e[0], min))
        return cls(name, np.array(num_words), first_pass, oracle)

    @classmethod
    def read(cls, results: Path, name: str) -> "SetCounts":
        """Reads a set from the folder of results. Raises KeyError if it is missing."""
        lines = {line["set"]: line for line in read_lines(results / SETS)}
        return cls(name, *(unpacked(lines[name][key]) for key in ("words", "first_pass", "oracle")))

    def write(self, results: Path) -> None:
        """Adds the set to the folder of results, unless it exists."""
        counts = {key: packed(getattr(self, key)) for key in ("words", "first_pass", "oracle")}
        append_line(results / SETS, {"set": self.name, **counts}, once=True)

    def wer(self, errors: np.ndarray) -> float:
        """The pooled word error rate in per cent."""
        return float(100 * errors.sum() / max(1, self.words.sum()))


def packed(counts: Sequence[int] | np.ndarray) -> str:
    """Packs counts in a string: one character 0-9a-z for each count up to 35, larger ones in parentheses."""
    return "".join(_DIGITS[count] if count < len(_DIGITS) else f"({count})" for count in map(int, counts))


def unpacked(text: str) -> np.ndarray:
    """The counts of a packed string."""
    return np.array([int(large or int(small, 36)) for large, small in _COUNT.findall(text)], dtype=int)


def cross_fitted_errors(
    lists: "Sequence[EncodedList]", scores: Sequence[Sequence[float]], prior: "RankPrior", *, margin: bool = True
) -> list[int]:
    """Word errors of the hypothesis ranked first in each list, with parameters tuned on the other half of the set.

    The parameters are the weight and, with `margin`, the switching margin. The lists' ids decide the halves.
    """
    from lorb_adapters.training.evaluation.tuning import scored_lists

    return cross_fitted(scored_lists(lists, scores, prior), [half(each.nbest.id) for each in lists], margin=margin)


def cross_fitted(lists: "Sequence[ScoredList]", halves: Sequence[int], *, margin: bool = True) -> list[int]:
    """Word errors of the hypothesis ranked first in each scored list, with parameters tuned on the other half.

    halves: 0 or 1 for each list.
    """
    from lorb_adapters.training.evaluation.tuning import tune_switching_margin, tune_weight

    tuned = {}
    for held_out in (0, 1):
        others = [each for each, side in zip(lists, halves, strict=True) if side != held_out]
        weight = tune_weight(others)
        tuned[held_out] = (weight, tune_switching_margin(others, weight) if margin else 0.0)
    return [each.errors[each.top(*tuned[side])] for each, side in zip(lists, halves, strict=True)]


def half(list_id: str) -> int:
    """The half that a list belongs to, 0 or 1, by its id."""
    return hashlib.sha256(f"half {list_id}".encode()).digest()[0] % 2


def without_errors(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a set, or of several by name, without the errors of each list."""
    return {
        name: without_errors(value) if isinstance(value, Mapping) else value
        for name, value in figures.items()
        if name != "errors"
    }


def set_figures(counts: SetCounts, errors: Sequence[int]) -> dict[str, Any]:
    """The figures of a set: its name, the WER in per cent, and the errors of each list."""
    return {"set": counts.name, "wer": round(counts.wer(np.array(errors)), 4), "errors": packed(errors)}

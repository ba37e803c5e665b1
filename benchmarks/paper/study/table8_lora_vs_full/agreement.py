"""Measures the agreement of two rescorers on the same lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of two rescorers on the same lists.

    Attributes:
        same_choice: share of lists with more than one text in which both rank the same text first; 0 to 1.
        fixed_in_common: lists that both improve over lists that either improves; 0 to 1.
        broken_in_common: lists that both worsen over lists that either worsens; 0 to 1.
        kappa: Cohen's, of the labels improved, worsened and unchanged: 0 is agreement by chance, 1 is perfect.
    """

    same_choice: float
    fixed_in_common: float
    broken_in_common: float
    kappa: float


def agreement(
    first_pass: Sequence[int],
    errors: tuple[Sequence[int], Sequence[int]],
    chosen: tuple[Sequence[object], Sequence[object]],
) -> Agreement:
    """Compares two rescorers on lists with more than one text.

    first_pass: [lists] word errors before rescoring. errors: [lists] word errors of each rescorer. chosen: [lists]
    texts of each rescorer, or their positions.
    """
    before = np.asarray(first_pass)
    one, other = (np.sign(np.asarray(each) - before) for each in errors)  # -1 improved, 1 worsened
    same = [a == b for a, b in zip(*chosen, strict=True)]
    return Agreement(
        same_choice=float(np.mean(same)),
        fixed_in_common=jaccard(one < 0, other < 0),
        broken_in_common=jaccard(one > 0, other > 0),
        kappa=cohen_kappa(one, other),
    )


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Size of the intersection over that of the union; 1 if both are empty. one, other: [n] bool."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def cohen_kappa(one: np.ndarray, other: np.ndarray) -> float:
    """(p - e) / (1 - e) with p the share of equal labels and e that expected by chance; 1 if e is 1."""
    labels = np.union1d(one, other)
    expected = float(sum((one == label).mean() * (other == label).mean() for label in labels))
    return 1.0 if expected == 1.0 else (float((one == other).mean()) - expected) / (1.0 - expected)

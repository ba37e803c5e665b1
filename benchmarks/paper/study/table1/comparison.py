"""Compares LoRB with full fine-tuning: the paper's claims, our aims, and their figures and verdicts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from study.harness.records import Record
from study.statistics.intervals import (
    Interval,
    at_least,
    at_most,
    over_seeds,
    paired_difference,
    pooled_difference,
    within,
)
from study.table1.rows import Rows

EQUAL = 0.5  # largest difference in WER, per cent absolute, that counts as equal
CLOSE = 0.1  # our aim, per cent absolute


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim, the domain, its figure there, and the verdict."""

    claim: str
    where: str
    figure: str
    verdict: str


def findings(rows: Rows) -> list[Finding]:
    """The findings for each domain that has both methods, and for their mean."""
    domains = [each for each in rows.domains if rows.chosen(each, "lorb") and rows.chosen(each, "full")]
    return [
        *_differences(rows, domains, "paper: WER equal to full fine-tuning", rows.at_home, lambda i: within(i, EQUAL)),
        *_differences(rows, domains, "ours: at most 0.1 above it", rows.at_home, lambda i: at_most(i, CLOSE)),
        *_differences(rows, domains, "paper: less harm elsewhere", rows.elsewhere, lambda i: at_most(i, 0.0)),
        *_differences(rows, domains, "the same, weight fitted there", rows.elsewhere_fitted, lambda i: at_most(i, 0.0)),
        *_ratios(rows, domains, "paper: 3.6 to 5.4 times faster (minutes to the best dev WER)", best_ratio, 3.6),
        *_ratios(rows, domains, "ours: 6 times faster to full fine-tuning's best dev WER", same_wer_ratio, 6.0),
        *_ratios(rows, domains, "the same at equal steps (tokens a second)", speed_ratio, 3.6),
        *_savings(rows, domains, "paper: 32% less memory", 32.0),
        *_savings(rows, domains, "ours: 60% less memory", 60.0),
    ]


def _differences(
    rows: Rows,
    domains: Sequence[str],
    claim: str,
    errors: Callable[[Record], tuple[np.ndarray, np.ndarray]],
    verdict: Callable[[Interval], str],
) -> list[Finding]:
    """The differences in WER. errors: returns a record's word errors and the reference words, [lists] each."""
    parts, found = [], []
    for domain in domains:
        ours, theirs = ([errors(each) for each in rows.chosen(domain, name)] for name in ("lorb", "full"))
        part = ([each for each, _ in ours], [each for each, _ in theirs], ours[0][1])
        difference = paired_difference(*part)
        parts.append(part)
        found.append(Finding(claim, domain, f"{difference.text(sign=True)} WER", verdict(difference)))
    if len(parts) > 1:
        together = pooled_difference(parts)
        found.append(Finding(claim, "mean of domains", f"{together.text(sign=True)} WER", verdict(together)))
    return found


def _ratios(
    rows: Rows, domains: Sequence[str], claim: str, ratio: Callable[[Record, Record], float], bound: float
) -> list[Finding]:
    found = []
    for domain in domains:
        pairs = list(zip(rows.chosen(domain, "lorb"), rows.chosen(domain, "full"), strict=False))
        ratios = [each for each in (ratio(*pair) for pair in pairs) if not math.isnan(each)]
        if not ratios:
            found.append(Finding(claim, domain, f"never reached in {len(pairs)} seeds", "not held"))
            continue
        interval = over_seeds(ratios)
        missed = (
            f", not reached in {len(pairs) - len(ratios)} of {len(pairs)} seeds" if len(ratios) < len(pairs) else ""
        )
        verdict = at_least(interval, bound) if not missed else "not held"
        found.append(Finding(claim, domain, f"{interval.text(1)} times{missed}", verdict))
    return found


def _savings(rows: Rows, domains: Sequence[str], claim: str, bound: float) -> list[Finding]:
    found = []
    for domain in domains:
        ours, theirs = (
            np.array([each.figures["memory"]["peak_beyond_bytes"] for each in rows.chosen(domain, name)])
            for name in ("lorb", "full")
        )
        count = min(len(ours), len(theirs))
        interval = over_seeds(list(100 * (1 - ours[:count] / theirs[:count])))
        found.append(Finding(claim, domain, f"{interval.text(0)}% less", at_least(interval, bound)))
    return found


def best_ratio(ours: Record, theirs: Record) -> float:
    """Their minutes until the best evaluation, divided by ours."""
    return float(theirs.figures["best"]["minutes"] / ours.figures["best"]["minutes"])


def same_wer_ratio(ours: Record, theirs: Record) -> float:
    """Their minutes until their best dev WER, divided by ours until that WER; NaN if we never reach it."""
    wanted = theirs.figures["best"]["wer"]
    reached = [each["minutes"] for each in ours.figures["evaluations"] if each["wer"] <= wanted]
    return float(theirs.figures["best"]["minutes"] / reached[0]) if reached else math.nan


def speed_ratio(ours: Record, theirs: Record) -> float:
    """Our tokens per processor second, divided by theirs; NaN if theirs is 0."""
    ours_speed, theirs_speed = (each.figures["tokens_per_cpu_second"] for each in (ours, theirs))
    return float(ours_speed / theirs_speed) if theirs_speed else math.nan

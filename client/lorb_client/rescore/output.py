"""A rescored list as lorb-rescore writes it: the record as read, in its new order, with what was found."""

from collections.abc import Mapping, Sequence
from typing import cast

from lorb.ranked import Ranked, RankedHypothesis

_ADDED = ("rescoring_score", "combined_score", "posterior")


def rescored_fields(fields: Mapping[str, object], ranked: Ranked) -> dict[str, object]:
    """`fields`, a record in the native shape, as `ranked` orders it; what it had before under our names goes.

    Every hypothesis keeps its fields ("score" stays the first pass's) and gains rescoring_score,
    combined_score and posterior, where it has them; the record gains "lorb": what was done, by which adapter.
    """
    hypotheses = cast(Sequence[Mapping[str, object]], fields["hyps"])
    rescored = [_hypothesis_fields(hypotheses[each.index], each) for each in ranked.hypotheses]
    return {**fields, "hyps": rescored, "lorb": _provenance(ranked)}


def _hypothesis_fields(fields: Mapping[str, object], hypothesis: RankedHypothesis) -> dict[str, object]:
    kept = {name: value for name, value in fields.items() if name not in _ADDED}
    scores = {name: getattr(hypothesis, name) for name in _ADDED}
    return kept | {name: score for name, score in scores.items() if score is not None}


def _provenance(ranked: Ranked) -> dict[str, object]:
    adapter = ranked.adapter
    reason = ranked.fallback_reason
    return {
        "outcome": ranked.outcome.value,
        "fallback_reason": None if reason is None else reason.value,
        "adapter": None
        if adapter is None
        else {"domain": adapter.domain, "version": adapter.version, "digest": adapter.digest},
        "num_truncated": sum(hypothesis.truncated for hypothesis in ranked.hypotheses),
    }

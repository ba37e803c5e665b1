"""Builds the output record of lorb-rescore: the input record in its new order, with scores and provenance."""

from collections.abc import Mapping, Sequence
from typing import cast

from lorb.ranked import Ranked, RankedHypothesis

_SCORE_FIELDS = ("rescoring_score", "combined_score", "posterior")


def rescored_fields(fields: Mapping[str, object], ranked: Ranked) -> dict[str, object]:
    """Returns a record in the native shape with its hypotheses re-ranked.

    Hypotheses keep their fields ("score" is the first-pass score) and gain rescoring_score, combined_score and
    posterior if they were rescored. The record gains "lorb": outcome, fallback reason, adapter and number of truncated
    texts. Values of an earlier run under these names are replaced.
    """
    hypotheses = cast(Sequence[Mapping[str, object]], fields["hyps"])
    rescored = [_hypothesis_fields(hypotheses[hypothesis.index], hypothesis) for hypothesis in ranked.hypotheses]
    return {**fields, "hyps": rescored, "lorb": _provenance(ranked)}


def _hypothesis_fields(fields: Mapping[str, object], hypothesis: RankedHypothesis) -> dict[str, object]:
    kept = {name: value for name, value in fields.items() if name not in _SCORE_FIELDS}
    scores = {name: getattr(hypothesis, name) for name in _SCORE_FIELDS}
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

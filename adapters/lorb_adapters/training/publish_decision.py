"""Decides whether an adapter is published: rescoring must lower dev's word error rate with enough certainty."""

from lorb.errors import NotPublished
from lorb_adapters.training.evaluation.set_figures import SetFigures

MIN_PROBABILITY_OF_IMPROVEMENT = 0.95


def check_improves(dev: SetFigures) -> None:
    """Raises NotPublished unless rescoring saves word errors in 95% or more of the bootstrap's resamples of dev."""
    probability = dev.probability_of_improvement
    if probability < MIN_PROBABILITY_OF_IMPROVEMENT:
        raise NotPublished(
            f"not published: on dev the WER went from {dev.first_pass_wer:.2f} to {dev.rescored_wer:.2f}, better in "
            f"{100 * probability:.1f}% of paired resamples, and {100 * MIN_PROBABILITY_OF_IMPROVEMENT:.0f}% are "
            "required; more lists or epochs may help, --force publishes anyway"
        )

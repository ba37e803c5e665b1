"""Decides whether an adapter is published: rescoring must lower dev's word error rate with enough certainty."""

from lorb.errors import NotPublished
from lorb_adapters.training.evaluation.set_figures import SetFigures
from lorb_adapters.training.report.report import Report

MIN_PROBABILITY_OF_IMPROVEMENT = 0.95


def is_proven(dev: SetFigures) -> bool:
    """Whether rescoring saves word errors in 95% or more of the bootstrap's resamples of dev."""
    return dev.probability_of_improvement >= MIN_PROBABILITY_OF_IMPROVEMENT


def check_improves(report: Report) -> None:
    """Raises NotPublished, with advice, unless the cross-fitted figures prove that rescoring lowers dev's WER.

    In cross-fitted figures no list is measured with a choice that it took part in.
    """
    if report.cross_fit is None:
        raise NotPublished("not published: the report has no cross-fitted figures of dev: train again")
    if report.cross_fit.evaluations < len(report.dev):
        raise NotPublished(
            f"not published: the checkpoint of an older LoRB has the scores of {report.cross_fit.evaluations} of "
            f"{len(report.dev)} evaluations, and the choice among them cannot be judged: train again with --restart; "
            "--resume --force publishes it anyway"
        )
    dev = report.cross_fit.figures
    if not is_proven(dev):
        raise NotPublished(
            f"not published: on dev, cross-fitted, the WER went from {dev.first_pass_wer:.2f} to "
            f"{dev.rescored_wer:.2f}, better in {100 * dev.probability_of_improvement:.1f}% of paired resamples, and "
            f"{100 * MIN_PROBABILITY_OF_IMPROVEMENT:.0f}% are required; {_advice(report)}; train again in the "
            "same folder with --restart, or publish this adapter anyway with --resume --force"
        )


def _advice(report: Report) -> str:
    dev = report.sets["dev"]
    if dev.oracle_wer >= dev.first_pass_wer:
        return (
            "the first pass already ranks the best hypothesis of every dev list first, so nothing can be proven: give "
            "dev lists whose best hypothesis is not always the first"
        )
    if report.ranking.weight == 0.0:
        return (
            "the tuned weight is 0, because the trained scores raise dev's WER at every other weight: training "
            f"diverged; lower --learning-rate, which is {report.config['learning_rate']:g}"
        )
    return "more lists or epochs may help"

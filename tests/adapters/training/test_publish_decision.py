"""The decision to publish: dev must improve in 95% of the paired resamples."""

import pytest

from lorb.errors import NotPublished
from lorb_adapters.training.evaluation.set_figures import SetFigures
from lorb_adapters.training.publish_decision import check_improves


def dev_figures(probability):
    return SetFigures(
        utterances=100,
        words=1000,
        first_pass_wer=16.5,
        rescored_wer=16.25,
        oracle_wer=10.0,
        relative_gain_percent=1.5,
        oracle_gap_closed_percent=4.0,
        lists_improved=5,
        lists_worsened=3,
        change_interval=(-0.5, 0.1),
        probability_of_improvement=probability,
    )


def test_an_improvement_in_95_percent_of_resamples_is_enough():
    """At exactly 95% nothing is raised."""
    check_improves(dev_figures(0.95))


@pytest.mark.parametrize("probability", [0.0, 0.9499])
def test_a_less_certain_improvement_is_not_published(probability):
    """Below 95% the error names both rates, the probability, what is required, and --force."""
    reason = rf"from 16.50 to 16.25, better in {100 * probability:.1f}% of .* 95% are required; .*--force"
    with pytest.raises(NotPublished, match=reason):
        check_improves(dev_figures(probability))

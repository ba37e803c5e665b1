"""The decision to publish: cross-fitted dev must improve in 95% of the paired resamples."""

import json

import pytest

from lorb.errors import NotPublished
from lorb_adapters.training.publish_decision import check_improves
from lorb_adapters.training.report.report import Report


def report_with(report_json, probability, *, weight=1.0, oracle_wer=10.0):
    """A real report with other figures of dev; dev as tuned improves in all resamples."""
    report = json.loads(report_json)
    figures = {"first_pass_wer": 16.5, "rescored_wer": 16.25, "oracle_wer": oracle_wer}
    report["sets"]["dev"].update(figures, probability_of_improvement=1.0)
    report["cross_fitted_dev"]["figures"].update(figures, probability_of_improvement=probability)
    report["ranking"]["weight"] = weight
    return Report.parse(json.dumps(report).encode(), "report.json")


def test_an_improvement_in_95_percent_of_resamples_is_enough(report_json):
    """At exactly 95% nothing is raised."""
    check_improves(report_with(report_json, 0.95))


@pytest.mark.parametrize("probability", [0.0, 0.9499])
def test_a_less_certain_improvement_is_not_published(report_json, probability):
    """Below 95% the error names rates, probability, --restart and --force, although dev as tuned always improves."""
    reason = (
        rf"cross-fitted, .* from 16.50 to 16.25, better in {100 * probability:.1f}% of .* 95% are required; "
        r"more lists or epochs may help; .*--restart.* --resume --force"
    )
    with pytest.raises(NotPublished, match=reason):
        check_improves(report_with(report_json, probability))


def test_a_diverged_run_is_told_to_lower_the_learning_rate(report_json):
    """A tuned weight of 0 means that training diverged: more of it would not help."""
    with pytest.raises(NotPublished, match=r"diverged; lower --learning-rate, which is 0\.01") as caught:
        check_improves(report_with(report_json, 0.0, weight=0.0))
    assert "epochs" not in caught.value.message


def test_dev_without_contrast_proves_nothing(report_json):
    """If the first pass is right in every dev list, the advice is to give other dev lists."""
    with pytest.raises(NotPublished, match="nothing can be proven: give dev lists"):
        check_improves(report_with(report_json, 0.0, oracle_wer=16.5))


def test_scores_of_only_some_evaluations_prove_nothing(report_json):
    """A checkpoint that kept the scores of one evaluation, chosen on dev, is not published, however good it looks."""
    report = json.loads(report_json)
    report["cross_fitted_dev"]["evaluations"] = len(report["dev"]) - 1
    with pytest.raises(NotPublished, match=r"older LoRB .* --restart"):
        check_improves(report_with(json.dumps(report), 1.0))

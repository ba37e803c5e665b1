"""The records of the serving benchmark, and figures with too little data."""

import pytest

import figures
import results_file
from engine import filling
from figures import Record
from load import Latencies
from lorb_adapters.text import EncodedHypothesis


@pytest.mark.parametrize(("num_calls", "labels"), [(40, ["p50"]), (60, ["p50", "p90"]), (500, ["p50", "p90", "p99"])])
def test_a_quantile_is_shown_only_if_five_calls_took_longer(num_calls, labels):
    """A quantile near the slowest calls is left out."""
    latencies = Latencies([call / 1000 for call in range(num_calls)])
    assert list(latencies.shown()) == labels


def test_a_figure_keeps_the_machine_that_it_was_measured_on(tmp_path, monkeypatch):
    """A later run replaces the same figure of the same processor and leaves the others."""
    path = tmp_path / "serving.jsonl"
    for cpu, name, value in (
        ("one", "floor", 1.0),
        ("other", "floor", 2.0),
        ("other", "engine", 3.0),
        ("one", "floor", 4.0),
    ):
        monkeypatch.setattr(results_file, "processor", lambda cpu=cpu: cpu)
        figures.write([Record(name, "minilm", "float32", value, "hypotheses/s")], path)
    found = [(line["name"], line["device"]["cpu"], line["value"]) for line in results_file.read_results(path)]
    assert sorted(found) == [("engine", "other", 3.0), ("floor", "one", 4.0), ("floor", "other", 2.0)]


def test_a_pass_that_its_rows_do_not_fill_is_refused():
    """Too few tokens for a full pass are an error, because the speed would be that of a shorter batch."""
    rows = [EncodedHypothesis(tuple(range(8)), (0,) * 8, 1, truncated=False)] * 5
    assert len(filling(rows, 33)) == 4
    with pytest.raises(ValueError, match="5 rows have 40 tokens, the pass 41"):
        filling(rows, 41)

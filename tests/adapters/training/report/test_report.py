"""report.json read back: its figures, and one line for each wrong file."""

import json
from pathlib import Path

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.training.report.report import Report, read_report

STORE = Path(__file__).parents[4] / "adapters/store"


def keys_of(value, path=()):
    """The paths of all keys; the first item of a list stands for all of its items."""
    pairs = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from keys_of(inner, (*path, key))


def changed(report_json, path, value):
    """The report with another value at `path`, or without the key if `value` is None."""
    figures = json.loads(report_json)
    parent = figures
    for key in path[:-1]:
        parent = parent[key]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return json.dumps(figures).encode()


def test_figures_come_back_as_they_were_written(report_json, report_folder):
    """Figures, plot data and settings equal those of the file, given as a file or as its folder."""
    figures = json.loads(report_json)
    report = read_report(report_folder)
    assert report == read_report(report_folder / "report.json")
    dev = figures["sets"]["dev"]
    assert report.sets["dev"].rescored_wer == dev["rescored_wer"]
    assert list(report.sets["dev"].change_interval) == dev["wer_change_interval_95"]
    assert [each.wer for each in report.weight_curve] == [each["wer"] for each in figures["weight_curve"]]
    assert [each.losses for each in report.losses] == [each["losses"] for each in figures["losses"]]
    assert report.parameters.adapter_bytes > 4 * report.parameters.trained
    assert report.settings["lora.rank"] == "8"
    assert report.settings["max_steps"] == "4"


def test_a_report_is_written_as_it_was_read(report_json):
    """Reading and writing report.json gives the same bytes, so no field is lost or renamed."""
    assert Report.parse(report_json, "report.json").to_json().encode() == report_json


def test_the_keys_are_those_of_published_reports(report_json):
    """A new report has all keys of a report published by an older LoRB, in their order, and names what it adds."""
    published = (STORE / "librispeech/versions/2-d4fb57d63d88/report.json").read_bytes()
    old, new = json.loads(published), json.loads(report_json)
    old_dev, new_dev = old["sets"]["dev"], new["sets"]["dev"]
    assert list(new) == [*old, "cross_fitted_dev"]
    assert [key for key in new_dev if key != "list_errors"] == list(old_dev)
    assert list(new["cross_fitted_dev"]) == ["folds", "groups", "evaluations", "figures"]
    assert list(new["losses"][0]) == list(old["losses"][0])
    for name in ("parameters", "cost", "ranking", "calibration", "weight_curve", "dev"):
        assert list(keys_of(new[name])) == list(keys_of(old[name]))
    for name in ("mapsswe", "without_switching_margin", "by_length", "by_depth", "by_posterior"):
        assert list(keys_of(new_dev[name])) == list(keys_of(old_dev[name]))
    assert Report.parse(published, "report.json").sets["dev"].oracle_gap_closed_percent == pytest.approx(28.75)


def test_a_missing_or_mistyped_field_is_named(report_json):
    """If any field is missing or has another type, the error is one line that names the file and the field."""
    complaints = []
    for path in keys_of(json.loads(report_json)):
        for value in (None, {"": []}, -1):
            try:
                Report.parse(changed(report_json, path, value), "some/report.json")
            except InvalidInput as error:
                complaints.append(str(error))
    assert len(complaints) > 150
    assert all(each.startswith("some/report.json") and "\n" not in each for each in complaints)


def test_older_newer_and_wrong_files_have_distinct_messages(report_json):
    """An older schema, another file, a newer schema, broken JSON and wrong values each have a message of their own."""
    older = {"command": "", "sets": {}, "losses": []}
    for content, reason in (
        (json.dumps(older).encode(), "older LoRB"),
        (b"{}", "not a report of lorb-train-adapter"),
        (changed(report_json, ("schema_version",), 99), "schema_version is 99, newer than the 2 that this LoRB reads"),
        (report_json[:-40], "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "not an object"),
        (changed(report_json, ("sets", "dev"), None), "has no dev"),
        (changed(report_json, ("losses",), []), "losses is empty"),
        (
            changed(report_json, ("sets", "dev", "by_posterior", 0, "best_share"), 2),
            r"sets\.dev\.by_posterior\[0\]\.best_share is 2, not a share",
        ),
    ):
        with pytest.raises(InvalidInput, match=reason):
            Report.parse(content, "report.json")


def test_a_folder_without_report_is_named(tmp_path):
    """The error names a folder without a report, and a path that does not exist."""
    with pytest.raises(InvalidInput, match=r"has no report\.json"):
        read_report(tmp_path)
    with pytest.raises(InvalidInput, match=r"nowhere cannot be read: No such file"):
        read_report(tmp_path / "nowhere")


def test_a_loss_that_is_not_finite_is_none(report_json):
    """null, which the trainer writes for a loss that is not finite, is read as None."""
    report = Report.parse(report_json.replace(b'"mwer": ', b'"mwer": null, "was": ', 1), "report.json")
    assert report.losses[0].losses["mwer"] is None

"""A report read back: the run's own figures, and one clear line for what is no report."""

import json
import math

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.training.report.saved_report import SavedReport, read_report


def keys_of(value, path=()):
    """Every path of keys; of a list its first item stands for all."""
    pairs = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from keys_of(inner, (*path, key))


def changed(report_json, path, value):
    """The report with another value at `path`; without it where `value` is None."""
    figures = json.loads(report_json)
    place = figures
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(figures).encode()


def test_figures_come_back_as_they_were_written(report_json, report_folder):
    """Figures, plots' data and texts are those of the file, whether it or its folder is named."""
    figures = json.loads(report_json)
    report = read_report(report_folder)
    assert report == read_report(report_folder / "report.json")
    dev = figures["sets"]["dev"]
    assert report.sets["dev"].rescored_wer == dev["rescored_wer"]
    assert [report.sets["dev"].low, report.sets["dev"].high] == dev["wer_change_interval_95"]
    assert [each.wer for each in report.weight_curve] == [each["wer"] for each in figures["weight_curve"]]
    assert [each.losses for each in report.losses] == [each["losses"] for each in figures["losses"]]
    assert report.adapter_bytes > 4 * report.num_trained_parameters
    assert report.config["lora.rank"] == "8"
    assert report.config["max_steps"] == "4"


def test_what_lacks_a_key_is_refused_by_its_name_or_read(report_json):
    """Whatever key is taken away or holds something else, the answer is one line that names the file: no traceback."""
    complaints = []
    for path in keys_of(json.loads(report_json)):
        for value in (None, {"": []}, -1):
            try:
                SavedReport.parse(changed(report_json, path, value), "some/report.json")
            except InvalidInput as error:
                complaints.append(str(error))
    assert len(complaints) > 150
    assert all(each.startswith("some/report.json") and "\n" not in each for each in complaints)


def test_an_older_report_is_told_from_no_report_and_a_newer_one(report_json):
    """Each has its own line."""
    older = {"command": "", "sets": {}, "losses": []}
    for content, reason in (
        (json.dumps(older).encode(), "older LoRB"),
        (b"{}", "not a report of lorb-train-adapter"),
        (changed(report_json, ("schema_version",), 99), "schema_version 99, and this LoRB reads 2"),
        (report_json[:-40], "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "not an object"),
        (changed(report_json, ("sets", "dev"), None), "has no dev"),
        (changed(report_json, ("losses",), []), "losses holds none"),
        (changed(report_json, ("sets", "dev", "by_posterior", 0, "best_share"), 2), "not a share"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            SavedReport.parse(content, "report.json")


def test_a_place_without_report_is_named(tmp_path):
    """A folder that has none, and a path that is not there."""
    with pytest.raises(InvalidInput, match=r"has no report\.json"):
        read_report(tmp_path)
    with pytest.raises(InvalidInput, match=r"nowhere cannot be read: No such file"):
        read_report(tmp_path / "nowhere")


def test_a_loss_that_went_astray_is_no_number(report_json):
    """null, as the trainer writes a loss that is not finite, reads as NaN."""
    report = SavedReport.parse(report_json.replace(b'"mwer": ', b'"mwer": null, "was": ', 1), "report.json")
    assert math.isnan(report.losses[0].losses["mwer"])

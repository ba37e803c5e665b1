"""lorb-compare: the table in the terminal, the HTML page, and its error lines."""

import json
import re
import shutil

import pytest

from lorb_adapters.training.cli.compare import main
from lorb_adapters.training.report.comparison import Comparison
from lorb_adapters.training.report.report import Report


@pytest.fixture
def other(report_folder, report_json, tmp_path):
    """Another run with a different rank, seed and dev rate, and without test."""
    figures = json.loads(report_json)
    figures["config"]["lora"]["rank"] = 4
    figures["config"]["seed"] = 7
    figures["sets"]["dev"]["rescored_wer"] = 1.25
    del figures["sets"]["test"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.json").write_text(json.dumps(figures))
    return tmp_path / "other"


def rows_of(comparison):
    return {(section.title, name): values for section in comparison.sections() for name, values in section.rows}


def test_only_differing_settings_are_shown(report_folder, other):
    """Only rank and seed differ; a missing set is empty, and each run has its own figures."""
    rows = rows_of(Comparison.read([report_folder, other]))
    assert {name for title, name in rows if title == "settings that differ"} == {"lora: rank", "seed"}
    assert rows["settings that differ", "lora: rank"] == ("8", "4")
    assert rows["dev", "rescored, WER %"][1] == "1.25"
    assert rows["test", "utterances"] == ("20", "")


def test_different_sets_are_a_warning(report_folder, report_json, tmp_path, capsys):
    """A warning says that dev differs between the runs."""
    other = json.loads(report_json)
    other["sets"]["dev"]["words"] = 17
    (tmp_path / "report.json").write_text(json.dumps(other))
    assert main([str(report_folder), str(tmp_path)]) == 0
    assert "dev is not the same set in all runs" in " ".join(capsys.readouterr().out.split())


def test_a_run_is_compared_with_the_first_one(report_folder, report_json, tmp_path, capsys):
    """B makes the errors of A in half of the test lists, and none in the others: the rows against A show the gain."""
    other = json.loads(report_json)
    errors = other["sets"]["test"]["list_errors"]
    kept = errors[::2]
    other["sets"]["test"]["list_errors"] = [
        each if i % 2 == 0 else " ".join(each.split()[:3]) for i, each in enumerate(errors)
    ]
    (tmp_path / "report.json").write_text(json.dumps(other))
    saved = sum(len(each.split()) - 3 for each in errors) - sum(len(each.split()) - 3 for each in kept)
    words = other["sets"]["test"]["words"]
    rows = rows_of(Comparison.read([report_folder, tmp_path]))
    assert rows["test", "lists shared with A"] == ("", "20")
    assert rows["test", "change from A, WER %"] == ("", f"{-100 * saved / words:+.2f}")
    assert float(rows["test", "better than A, P"][1]) > 0.95
    z, p = map(float, rows["test", "MAPSSWE against A, Z and p"][1].split(","))
    assert z > 2
    assert p < 0.05
    assert rows["dev, cross-fitted", "change from A, 95% interval"] == ("", "+0.00 to +0.00")
    assert main([str(report_folder), str(tmp_path), "--html", str(tmp_path / "page.html")]) == 0
    for text in (capsys.readouterr().out, (tmp_path / "page.html").read_text()):
        assert "better than A, P" in text


def test_runs_on_other_lists_are_not_compared(report_folder, report_json, tmp_path, capsys):
    """Other texts under the same id, other ids, and a report without the errors of each list each have a notice."""
    for name, change in (
        ("texts", lambda each: [each[0][:13] + "0" * 8 + each[0][21:], *each[1:]]),
        ("ids", lambda each: [f"{i:012x}{text[12:]}" for i, text in enumerate(each)]),
        ("older", lambda each: []),
    ):
        figures = json.loads(report_json)
        figures["sets"]["test"]["list_errors"] = change(figures["sets"]["test"]["list_errors"])
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(figures))
    paths = [report_folder, *(tmp_path / name for name in ("texts", "ids", "older"))]
    assert ("test", "better than A, P") not in rows_of(Comparison.read(paths))
    assert main([str(each) for each in paths]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "test: B is not compared with A: 1 of 20 lists with the same id have other references" in printed
    assert "test: C is not compared with A: no list has the same id in both" in printed
    assert "test: D is not compared with A: a report of an older LoRB lacks the errors of each list" in printed


def test_a_report_without_list_errors_says_where_they_are(report_folder, report_json, tmp_path, capsys):
    """The report of a version with very many lists is read; the notice names --report-dir, not an old LoRB."""
    smaller = Report.parse(report_json, "report.json").without_list_errors()
    (tmp_path / "report.json").write_text(smaller.to_json())
    assert json.loads(smaller.to_json())["list_errors_left_out"] is True
    assert "list_errors_left_out" not in json.loads(report_json)
    assert main([str(report_folder), str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "test: B is not compared with A: a published report leaves out the errors of each list" in printed
    assert "--report-dir" in printed


def test_runs_have_distinct_names(report_folder, tmp_path):
    """Names are the folder's, or domain@version; equal names become paths, and equal paths are numbered."""
    version = tmp_path / "store" / "books" / "versions" / "3-abc"
    for folder in (version, tmp_path / "a" / "run", tmp_path / "b" / "run"):
        shutil.copytree(report_folder, folder)
    paths = [version, tmp_path / "a" / "run", tmp_path / "b" / "run", version / "report.json"]
    names = Comparison.read(paths).names
    assert names == (str(version), str(paths[1]), str(paths[2]), str(paths[3]))
    assert Comparison.read(paths[:2]).names == ("books@3-abc", "run")
    assert Comparison.read([version, version]).names == (f"{version} #1", f"{version} #2")


def test_a_table_and_a_page_are_written(report_folder, other, tmp_path, capsys):
    """Both show the runs' figures; the page has plots and needs no other file."""
    assert main([str(report_folder), str(other), "--html", str(tmp_path / "page.html")]) == 0
    printed = capsys.readouterr().out
    content = (tmp_path / "page.html").read_text()
    for text in ("1.25", "lora: rank", "settings that differ"):
        assert text in printed
        assert text in content.replace("Settings", "settings")
    assert content.count("<svg") == 3 + 3
    assert "<script" not in content
    assert "http" not in content
    names = re.findall(r'\bid="([^"]*)"', content)
    assert len(names) == len(set(names))


def test_the_page_of_one_run_is_its_report(report_folder, tmp_path):
    """--html with one run writes the page that its report had."""
    assert main([str(report_folder), "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text() == (report_folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "has no report.json"),
        (b'{"sets": {}, "losses": []}', "older LoRB"),
        (b"{", "is not JSON"),
        (b"{}", "not a report of lorb-train-adapter"),
    ],
)
def test_a_wrong_file_is_one_line(report_folder, tmp_path, capsys, content, reason):
    """A wrong file gives status 2, one line that names it, and no page."""
    if content is not None:
        (tmp_path / "report.json").write_bytes(content)
    assert main([str(report_folder), str(tmp_path), "--html", str(tmp_path / "page.html")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert str(tmp_path) in captured.err
    assert reason in captured.err
    assert captured.out == ""
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_one_line(report_folder, tmp_path, capsys):
    """The line has the system's reason, and the status is 2."""
    assert main([str(report_folder), "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot be written: No such file" in capsys.readouterr().err


def test_too_many_runs_are_refused(report_folder, capsys):
    """More than 26 runs are refused: runs are labelled with letters."""
    assert main([str(report_folder)] * 27) == 2
    assert "at most 26" in capsys.readouterr().err

"""lorb-compare: runs side by side in the terminal and on a page, and one line for every mistake."""

import json
import re
import shutil

import pytest

from lorb_adapters.training.cli.compare import main
from lorb_adapters.training.report.comparison import Comparison


@pytest.fixture
def other(report_folder, report_json, tmp_path):
    """Another run: a rank, a seed and a rate that differ; on fewer sets."""
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


def test_only_settings_that_differ_are_told(report_folder, other):
    """Rank and seed, nothing else; a set that a run lacks stays empty; figures are each run's own."""
    rows = rows_of(Comparison.read([report_folder, other]))
    assert {name for title, name in rows if title == "settings that differ"} == {"lora: rank", "seed"}
    assert rows["settings that differ", "lora: rank"] == ("8", "4")
    assert rows["dev", "rescored, WER %"][1] == "1.25"
    assert rows["test", "utterances"] == ("20", "")


def test_sets_that_are_not_the_same_are_told(report_folder, report_json, tmp_path, capsys):
    """Rates on other lists do not compare, and it is said."""
    other = json.loads(report_json)
    other["sets"]["dev"]["words"] = 17
    (tmp_path / "report.json").write_text(json.dumps(other))
    assert main([str(report_folder), str(tmp_path)]) == 0
    assert "dev is not the same set in all runs" in " ".join(capsys.readouterr().out.split())


def test_runs_have_names_that_differ(report_folder, tmp_path):
    """A folder's name, a published version's domain and id; alike ones by their paths, the same twice numbered."""
    version = tmp_path / "store" / "books" / "versions" / "3-abc"
    for place in (version, tmp_path / "a" / "run", tmp_path / "b" / "run"):
        shutil.copytree(report_folder, place)
    paths = [version, tmp_path / "a" / "run", tmp_path / "b" / "run", version / "report.json"]
    names = Comparison.read(paths).names
    assert names == (str(version), str(paths[1]), str(paths[2]), str(paths[3]))
    assert Comparison.read(paths[:2]).names == ("books@3-abc", "run")
    assert Comparison.read([version, version]).names == (f"{version} #1", f"{version} #2")


def test_a_table_and_a_page_are_made(report_folder, other, tmp_path, capsys):
    """Both have the runs' figures; the page holds plots and needs no other file."""
    assert main([str(report_folder), str(other), "--html", str(tmp_path / "page.html")]) == 0
    printed = capsys.readouterr().out
    content = (tmp_path / "page.html").read_text()
    for text in ("1.25", "lora: rank", "settings that differ"):
        assert text in printed
        assert text in content.replace("Settings", "settings")
    assert content.count("<svg") == 2 + 3
    assert "<script" not in content
    assert "http" not in content
    names = re.findall(r'\bid="([^"]*)"', content)
    assert len(names) == len(set(names))


def test_the_page_of_one_run_is_its_report(report_folder, tmp_path):
    """A published report.json, which has no page beside it, gets it so."""
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
    """Exit status 2, one line that names it, and no page."""
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
    """The reason is told; nothing half-written stays."""
    assert main([str(report_folder), "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot be written: No such file" in capsys.readouterr().err


def test_too_many_runs_are_refused(report_folder, capsys):
    """There are 26 letters."""
    assert main([str(report_folder)] * 27) == 2
    assert "at most 26" in capsys.readouterr().err

"""The comparison of starts: order of turns, statistics, and one small real comparison."""

import json

import pytest

from cold_start import Checkout, alternate, main
from results_file import ROOT


def test_checkouts_take_turns_and_the_ratio_is_the_median_of_the_rounds():
    """The first turn of each is not counted; the order changes between rounds."""
    this, other = Checkout(ROOT), Checkout(ROOT)
    turns, times = [], {this: iter([9.0, 1.0, 4.0, 3.0]), other: iter([9.0, 2.0, 4.0, 4.0])}

    def measure(checkout):
        turns.append("this" if checkout is this else "other")
        return next(times[checkout])

    figures = alternate(this, other, 3, measure)
    assert turns == ["this", "other", "this", "other", "other", "this", "this", "other"]
    assert figures == {
        "seconds": 3.0, "seconds_of_other": 4.0, "ratio": 0.75, "lowest_ratio": 0.5, "highest_ratio": 1.0,
    }  # fmt: skip


def test_a_checkout_is_compared_with_itself(tmp_path, capsys):
    """One real command is started in both checkouts, printed and recorded; a failing command ends the run."""
    results = tmp_path / "cold_start.jsonl"
    assert main(["--against", str(ROOT), "--only", "lorb-base-delta", "--rounds", "1", "--results", str(results)]) == 0
    [line] = map(json.loads, results.read_text().splitlines())
    assert line["name"] == "lorb-base-delta --help"
    assert line["seconds"] > 0
    assert line["name"] in capsys.readouterr().out


def test_a_command_that_fails_ends_the_run():
    """A command with another status than 0 is no start."""
    from cold_start import run_to_end

    with pytest.raises(SystemExit, match="lorb-base-delta ended with status 2"):
        run_to_end(Checkout(ROOT), "lorb-base-delta", "--no-such-flag")

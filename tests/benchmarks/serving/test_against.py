"""The comparison of two checkouts: statistics, order of turns, and a small real run."""

import json
from pathlib import Path

import pytest

import models
from checkouts.against import main
from checkouts.comparison import UNITS, Amount, compare, compared, table
from load import Latencies

ROOT = Path(__file__).parents[3]


class FakeServer:
    """A server with a given speed that logs its loads."""

    def __init__(self, name, speed, log):
        self.name, self.speed, self.log = name, speed, log

    def throughput(self, seconds):
        self.log.append(self.name)
        return 10 * self.speed, self.speed

    def alone(self, seconds):
        return Latencies([1 / self.speed] * 100)

    def offered(self, lists_per_second, seconds):
        self.log.append(lists_per_second)
        return Latencies([2 / self.speed] * 100)


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    """The range is that of the ratios; the values are medians."""
    found = compared("minilm", "float32", "one caller, p50", [10.0, 20.0, 60.0], [10.0, 10.0, 20.0])
    assert (found.this, found.other, found.unit) == (20.0, 10.0, "ms")
    assert (found.ratio, found.lowest, found.highest) == (2.0, 1.0, 3.0)
    assert "2.000  1.000 to 3.000" in table([found])


def test_servers_take_turns_in_changing_order_under_the_same_load():
    """The open loop offers both half of the slower one's capacity."""
    log = []
    servers = {"this": FakeServer("this", 20.0, log), "other": FakeServer("other", 10.0, log)}
    found = compare("minilm", "float32", servers, Amount(rounds=2, seconds=1.0))
    assert log == ["this", "other", "this", 5.0, "other", 5.0, "other", 5.0, "this", 5.0]
    assert [each.name for each in found] == list(UNITS)
    assert [each.ratio for each in found] == pytest.approx([2.0, 0.5, 0.5, 0.5, 0.5])


def test_a_checkout_is_compared_with_itself(tmp_path, monkeypatch, capsys):
    """Real servers with a tiny model: each figure is in the table and in the JSON."""
    monkeypatch.setattr(models, "CACHE", tmp_path)
    assert main(ROOT, Amount(models=(models.TINY,), dtypes=("float32",), rounds=1, seconds=0.3)) == 0
    lines = capsys.readouterr().out.splitlines()
    printed = json.loads(lines[-1])
    assert [each["name"] for each in printed["figures"]] == list(UNITS)
    assert all(each["ratio"] > 0 for each in printed["figures"])
    assert len(lines) == len(UNITS) + 4


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    """The error names the folder, and no server is started."""
    (tmp_path / "pyproject.toml").write_text('[project.scripts]\nlorb-serve = "lorb_server.cli:main"\n')
    with pytest.raises(SystemExit, match=f"{tmp_path} is no checkout"):
        main(tmp_path, Amount(models=("rescore-minilm",), dtypes=("float32",)))

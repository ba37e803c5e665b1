"""The runner: cells are done once, skipped, shared between tables, tried again, and added by choices."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from study.harness.cell import Cell
from study.harness.command import main
from study.harness.records import Records
from study.harness.runner import Run
from study.harness.table import Table
from support.training.fake_work import FakeWork

PAPER = Path(__file__).parents[4] / "benchmarks" / "paper"


def table(*cells, name="table9"):
    return Table(name, lambda size, records: cells, lambda size, records: f"{len(list(records.all()))} done\n")


def tries(folders, cell, name="table9"):
    return int((folders.scratch / name / cell.name / "tries").read_text())


@pytest.fixture
def run(folders):
    """Makes a run over cells; its messages are in `make.said`."""
    said = []

    def make(*cells, **options):
        return Run(table(*cells), None, folders, said.append, **options)

    make.said = said
    return make


def test_a_cell_is_done_once_and_a_failing_one_is_tried_again(run, folders):
    """The reason of a failure is reported; a cell that failed twice is left for the next command."""
    good, shy, bad = (Cell({"n": n}, FakeWork(n, failures)) for n, failures in enumerate((0, 1, 2)))
    assert run(good, shy, bad, jobs=2).do() == 1
    assert {each.key["n"] for each in Records(folders.results, "table9").all()} == {0, 1}
    assert any("failed on purpose" in line and "at try" not in line for line in run.said)
    assert run(good, shy, bad).do() == 0
    assert [tries(folders, each) for each in (good, shy, bad)] == [1, 2, 3]
    record = Records(folders.results, "table9").get(good)
    assert record.facts["command"] == "fake 0"
    assert {"date", "device", "threads", "versions", "seconds", "cpu_seconds", "load_average"} <= record.facts.keys()


def test_a_record_of_another_table_is_copied(run, folders):
    """A cell with the same settings is not run again; its record names the other table."""
    ours, theirs = Cell({"n": 1}, FakeWork(5)), Cell({"m": 2}, FakeWork(5))
    run(ours).do()
    again = replace(run(theirs), table=table(theirs, name="table8"))
    assert again.do() == 0
    record = Records(folders.results, "table8").get(theirs)
    assert record.figures == {"number": 5}
    assert record.facts["done_as"] == "table9"
    assert not (folders.scratch / "table8").exists()


def test_a_record_from_another_processor_is_not_copied(run, folders):
    """Times of different processors are not mixed in a table."""
    ours, theirs = Cell({"n": 1}, FakeWork(5)), Cell({"m": 2}, FakeWork(5))
    run(ours).do()
    records = Records(folders.results, "table9")
    done = records.get(ours)
    records.write(ours, done.figures, done.facts | {"device": "Another Processor"})
    again = replace(run(theirs), table=table(theirs, name="table8"))
    assert again.do() == 0
    assert "done_as" not in Records(folders.results, "table8").get(theirs).facts


def test_cells_that_a_choice_names_are_done_in_the_same_run(folders):
    """A cell that depends on a finished one runs in the same command."""
    first = Cell({"n": 0}, FakeWork(0))
    chosen = Cell({"n": 1}, FakeWork(1))
    made = Table("table9", lambda size, records: [first, *([chosen] if records.get(first) else [])], lambda *_: "")
    said = []
    assert Run(made, None, folders, said.append).do() == 0
    assert said[-1].endswith("none left")
    assert len(list(Records(folders.results, "table9").all())) == 2


def test_no_cell_is_started_after_the_minutes(run, folders):
    """Cells that did not start before the time limit are left for the next command."""
    run(Cell({"n": 0}, FakeWork(0)), Cell({"n": 1}, FakeWork(1)), minutes=1e-9).do()
    assert list(Records(folders.results, "table9").all()) == []


SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from study.harness.cell import Cell
from study.harness.command import main
from study.harness.table import Table
from slow_work import SlowWork
cells = [Cell({{"n": n}}, SlowWork(n)) for n in range(2)]
if __name__ == "__main__":
    sys.exit(main(Table("table9", lambda size, records: cells, lambda size, records: "page\\n")))
"""
SLOW = """
import time
from support.training.fake_work import FakeWork

class SlowWork(FakeWork):
    def run(self, context):
        if self.number:
            (context.scratch / "began").touch()
            time.sleep(60)
        return FakeWork.run(self, context)
"""


def test_an_interrupted_command_ends_its_cell_and_keeps_what_is_done(tmp_path, folders):
    """Ctrl-C: status 130, the page is written, and unfinished cells have no record."""
    paths = [str(PAPER), str(Path(__file__).parents[3]), str(tmp_path)]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(paths=paths))
    (tmp_path / "slow_work.py").write_text(SLOW)
    flags = {"--results": folders.results, "--scratch": folders.scratch, "--sets": tmp_path}
    command = [sys.executable, str(script), *(str(part) for flag in flags.items() for part in flag)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    began = folders.scratch / "table9" / "n1" / "began"
    deadline = time.monotonic() + 120
    while not began.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "run the same command to continue" in out
    assert [record.name for record in Records(folders.results, "table9").all()] == ["n0"]
    assert (folders.results / "table9.md").read_text() == "page\n"


def test_a_command_without_sets_says_how_to_make_them(tmp_path, folders, capsys):
    """Without sets, the command prints how to make them and returns status 2."""
    table = Table("table9", lambda size, records: [], lambda size, records: "page\n")
    flags = ["--results", str(folders.results), "--scratch", str(folders.scratch), "--sets", str(tmp_path / "none")]
    assert main(table, flags) == 2
    assert "make them with benchmarks/paper/data.py" in capsys.readouterr().err
    assert not folders.results.exists()

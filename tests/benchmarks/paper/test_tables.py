"""Tables with a tiny encoder: Table 1 from plan to test, shared records, and every page."""

import importlib
import re
from dataclasses import replace

import pytest

from study.harness.cell import Cell, CellContext
from study.harness.records import Records
from study.harness.runner import Run
from study.harness.workers import do
from study.training.measured_progress import MeasuredProgress
from study.training.sized_runs import training
from study.training.training import Training


def test_a_size_names_its_methods_and_the_weight_of_lorb(tiny_size, folders):
    """Table 1 has the methods of the size; LoRB has its correlation weight, LoRA has 0."""
    size = replace(tiny_size, methods=("lorb", "lora"), correlation_weight=1e-4)
    cells = load("table1").cells(size, Records(folders.results, "table1"))
    flags = {each.key["method"]: each.work.flags for each in cells if isinstance(each.work, Training)}
    assert set(flags) == {"lorb", "lora"}
    weights = {name: some[some.index("--correlation-weight") + 1] for name, some in flags.items()}
    assert weights == {"lorb": "0.0001", "lora": "0"}


@pytest.fixture
def in_this_process(tiny_size, sample_sets, folders):
    """Runs cells in this process, for speed."""

    def done(table, wanted):
        run = Run(table, tiny_size, folders, print)
        run.share()
        for cell in run.left():
            if wanted(cell):
                scratch = folders.scratch / table.name / cell.name
                scratch.mkdir(parents=True, exist_ok=True)
                outcome = do(cell, CellContext(scratch, sample_sets, folders.results))
                assert outcome.figures is not None, outcome.problem
                run.records.write(cell, outcome.figures, outcome.facts)
        return table.page(tiny_size, run.records)

    return done


def load(name):
    """The module of a table."""
    return importlib.import_module(name)


def of(*methods, domain="hp_atis"):
    return lambda cell: cell.key["domain"] == domain and cell.key["method"] in methods


def test_table_1_then_test_and_the_tables_that_build_on_it(in_this_process, tiny_size, folders, monkeypatch, tmp_path):
    """The chosen rate adds seeds, their figures make a page, and --test rescores with the kept tensors."""
    table1 = load("table1")
    in_this_process(table1.TABLE, of("lorb", "full", "trigram", "untrained"))
    page = in_this_process(table1.TABLE, of("lorb", "full"))  # the seeds that the choice named
    records = Records(folders.results, "table1")
    assert len(records.find(method="lorb")) == tiny_size.seeds
    for words in (
        "paper: 32% less memory",
        "ours: at most 0.1 above it",
        "| trigram of the train references |",
        "oracle",
    ):
        assert words in page
    [record] = records.find(method="full", seed=0)
    assert record.figures["memory"]["peak_beyond_bytes"] > 0
    assert record.figures["parameters"]["percent"] > 99
    assert record.facts["command"].startswith("lorb-train-adapter --domain hp_atis")
    assert set(record.figures["elsewhere"]) == {"dstc2_live"}

    page = in_this_process(table1.TEST_TABLE, of("lorb", "full"))
    [line] = [each for each in page.splitlines() if each.startswith("| hp_atis | LoRB: LoRA + correlation |")]
    assert re.search(r"\| [+-]\d+\.\d\d \([+-]\d+\.\d\d to [+-]\d+\.\d\d\) \|", line)  # minus full fine-tuning
    monkeypatch.setattr(table1, "LOG", tmp_path / "log.md")
    table1.log_test(tiny_size)
    assert "hp_atis (8), dstc2_live (8)" in (tmp_path / "log.md").read_text()

    table4 = load("table4")
    page = in_this_process(table4.TABLE, lambda cell: cell.key["seed"] == 0)
    assert "![WER against train lists](table4.svg)" in page
    assert (folders.results / "table4.svg").read_text().startswith("<?xml")

    table3 = load("table3")
    page = in_this_process(table3.TABLE, lambda cell: cell.name == "hp_atis-rdrop-lambda0.001-seed0")
    shared = Records(folders.results, "table3").find(**{"with": "alone", "lambda": 1e-3, "seed": 0})
    assert [each.facts["done_as"] for each in shared] == ["table1"]
    assert "| 0.001 | rdrop |" in page

    table5 = load("table5")
    page = in_this_process(table5.TABLE, lambda cell: cell.key["change"] == "mwed")
    assert "| without a switching margin |" in page
    assert "| MWED |" in page


def test_a_training_that_fails_on_its_way_goes_on_from_its_checkpoint(tiny_size, sample_sets, folders, monkeypatch):
    """The result equals that of an undisturbed run; other settings in the folder start again."""
    flags = ("--method", "lora", "--layers", "1", "--lists-per-step", "2")
    cell = Cell({"n": 0}, training(tiny_size, "hp_atis", flags, seed=0, rate=1e-2))
    other = Cell({"n": 1}, training(tiny_size, "hp_atis", flags, seed=1, rate=1e-2))
    original = MeasuredProgress.__call__

    def fail_at_step_5(self, report):
        original(self, report)
        if report.step == 5:
            raise RuntimeError("stopped")

    def scratch(name):
        context = CellContext(folders.scratch / name, sample_sets, folders.results)
        context.scratch.mkdir(parents=True, exist_ok=True)
        return context

    with monkeypatch.context() as patch:
        patch.setattr(MeasuredProgress, "__call__", fail_at_step_5)
        assert do(other, scratch("restarted")).problem == "RuntimeError: stopped"
        assert do(cell, scratch("resumed")).problem == "RuntimeError: stopped"
    resumed, whole, restarted = (do(cell, scratch(name)).figures for name in ("resumed", "whole", "restarted"))
    assert [each["resumed"] for each in (resumed, whole, restarted)] == [True, False, False]
    assert resumed["dev"] == whole["dev"] == restarted["dev"]
    assert [each["tokens"] for each in resumed["evaluations"]] == [each["tokens"] for each in whole["evaluations"]]


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "table5"])
def test_a_page_without_records_says_so(name, tiny_size, folders):
    """An empty page says that nothing is done; only Tables 1 and 4 have cells without Table 1's choice."""
    table = load(name).TABLE
    records = Records(folders.results, name)
    assert "nothing is done yet" in table.page(tiny_size, records)
    assert bool(table.cells(tiny_size, records)) == (name in ("table1", "table4"))

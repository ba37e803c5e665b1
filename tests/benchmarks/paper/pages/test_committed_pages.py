"""The committed pages are what the generators make of the committed results."""

import importlib
from pathlib import Path

import pytest

from study.harness.records import Records
from study.harness.sizes import SIZES, SMALL

RESULTS = Path(__file__).parents[4] / "benchmarks" / "paper" / "results"
PAGES = sorted(RESULTS.rglob("*.md"))


def table_of(name):
    """The table of a page: "table1", or "table1-test"."""
    module = importlib.import_module(name.removesuffix("-test"))
    return module.TEST_TABLE if name.endswith("-test") else module.TABLE


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(RESULTS).with_suffix("")))
def test_a_page_is_made_of_its_records(page, tmp_path):
    """The generated page and its plots equal the committed ones byte for byte."""
    size = SIZES[SMALL.name if page.parent == RESULTS else page.parent.name]
    for path in page.parent.glob("*.jsonl"):
        (tmp_path / path.name).symlink_to(path)
    table = table_of(page.stem)
    assert table.page(size, Records(tmp_path, table.name)) == page.read_text(encoding="utf-8")
    for plot in tmp_path.glob("*.svg"):
        assert plot.read_bytes() == page.with_name(plot.name).read_bytes()


def test_every_result_and_plot_has_a_page():
    """Every committed result and plot belongs to a page."""
    shown = {path.with_suffix("") for path in PAGES} | {path.parent / "sets" for path in PAGES}
    assert {path.with_suffix("") for path in RESULTS.rglob("*") if path.is_file()} == shown
    assert PAGES


@pytest.mark.parametrize(
    "path", sorted(RESULTS.rglob("table1*.jsonl")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_no_cell_of_table_1_is_left_from_an_abandoned_choice(path):
    """Every record is a current cell of the table with its current settings."""
    from study.harness.records import settings_digest

    table, size = table_of(path.stem), SIZES[SMALL.name if path.parent == RESULTS else path.parent.name]
    records = Records(path.parent, table.name)
    today = {cell.name: settings_digest(cell.work) for cell in table.cells(size, records)}
    assert {record.name: record.settings for record in records.all()}.items() <= today.items()

"""Table 6 from a tiny base to its page, and where its text is searched."""

import gzip
import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest

import table6
from study.harness.cell import CellContext
from study.harness.records import Records
from study.harness.sizes import SMALL, Counts
from study.harness.workers import do
from study.lists.sets import DEV, Lists
from study.table6_depth import base_building as building
from study.table6_depth.base_building import TEXT, BaseBuilding, book_text


@pytest.fixture
def context(sample, tmp_path):
    """The context of cells: the sample's lists, and its references as text."""
    sets = tmp_path / "sets"
    (sets / "librispeech").mkdir(parents=True)
    (sets / "text").mkdir()
    for part in ("train", "dev"):
        shutil.copy(sample / f"{part}.jsonl.gz", sets / "librispeech")
    with gzip.open(sample / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        text = "".join(json.loads(line)["ref"] + "\n" for line in lines)
    (sets / "text" / TEXT).write_bytes(gzip.compress(text.encode()))
    return CellContext(tmp_path / "scratch", sets, tmp_path / "results")


def test_a_depth_from_its_base_to_the_page(context, tiny_bert, monkeypatch):
    """One layer of a tiny base is trained, timed and adapted; the page has its row and names what is missing."""
    monkeypatch.setattr(table6, "PARENT", str(tiny_bert))
    monkeypatch.setattr(table6, "LAYERS", (1, 2))
    monkeypatch.setattr(table6, "SENTENCES", {"small": 64})
    monkeypatch.setattr(table6, "DEV_LISTS", 12)
    size = replace(SMALL, counts={"librispeech": Counts(24, 12)}, seeds=1, epochs=1)
    records = Records(context.results, "table6")
    assert [cell.name for cell in table6.cells(size, records)] == ["base-layers1", "base-layers2"]
    for name in ("base-layers1", "lorb-layers1-rate0.001-seed0", "speed-layers1", "base-layers2"):
        cells = {cell.name: cell for cell in table6.cells(size, records)}
        outcome = do(cells[name], replace(context, scratch=context.scratch / name))
        assert outcome.problem == ""
        records.write(cells[name], outcome.figures, outcome.facts)
    made = records.find(of="base", layers=1)[0]
    assert str(context.scratch) not in json.dumps([made.settings, made.facts])
    assert 0 < made.figures["parameters"]["layers"] < made.figures["parameters"]["all"]
    [first, second] = [
        line.split(" | ") for line in table6.page(size, records).splitlines() if line[:4] in ("| 1 ", "| 2 ")
    ]
    assert float(first[4]) > 0
    assert float(first[7]) > 0
    assert second[4] == "not done"


def test_cells_that_need_a_base_at_once_make_it_once(context, tiny_bert):
    """Two cells that need the same base at once get the same folder, and neither fails."""
    base = BaseBuilding(str(tiny_bert), 1, 64, Lists("librispeech", DEV, 12))
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawned) as pool:
        first, second = pool.map(base.folder, [context, context])
    assert first == second == context.scratch / "base"
    assert (first / "report.json").exists()


def test_the_text_is_looked_for_beside_the_sets(context, monkeypatch, tmp_path):
    """The text is found in the sets' folder; without the file the error says where to put it."""
    assert book_text(context.sets) == context.sets / "text" / TEXT
    (context.sets / "text" / TEXT).unlink()
    monkeypatch.setattr(building, "ROOT", tmp_path / "repository")
    with pytest.raises(FileNotFoundError, match=f"no {TEXT}: put it into {context.sets}"):
        book_text(context.sets)


def test_settings_and_command_name_no_folder_of_this_machine():
    """Settings and command contain no local path, because both are committed."""
    made = BaseBuilding("minilm", 2, 100, Lists("librispeech", DEV, 10))
    assert "/" not in json.dumps(made.settings())
    assert made.command().startswith("lorb-build-base --text TEXT/")
    assert "--layers 2" in made.command()

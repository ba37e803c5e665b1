"""The GPU benchmark: every part works on the processor with a tiny model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpu.records import Record, table
from results_file import read_results

ROOT = Path(__file__).parents[3]

# Beginnings of the figures' names, at least one for each part.
EXPECTED = (
    "error of bfloat16, CUDA graphs", "same best, CUDA graphs", "mixed pass against", "matrix peak",
    "list alone, CUDA graphs, p99", "engine, passes of", "share of the matrix peak", "pass of 8192 tokens, 4",
    "pass of 512 tokens, eager", "peft", "gRPC, 1 fronts, one caller",
)  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The finished process of the script and the lines that it wrote."""
    folder = tmp_path_factory.mktemp("gpu-benchmark")
    results = folder / "gpu.jsonl"
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, ROOT / "benchmarks/gpu/run.py", "--device", "cpu", "--quick", "--results", results],
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LORB_BENCHMARK_CACHE": str(folder), "PYTHONPATH": path()},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return done, read_results(results)


def path():
    """PYTHONPATH for the child: the import path of this process."""
    return os.pathsep.join(filter(None, sys.path))


def test_every_part_gives_figures(measured):
    """No part fails and each has records: scores, speed and server."""
    done, lines = measured
    assert [line for line in lines if "failed" in line] == []
    assert done.returncode == 0, done.stderr[-3000:]
    names = [line["name"] for line in lines]
    for start in EXPECTED:
        assert any(name.startswith(start) for name in names), (start, names)
    assert all(line["value"] > 0 for line in lines)


def test_cuda_graphs_and_eager_passes_agree_on_real_lists(measured):
    """The shipped adapter in bfloat16 on the processor is within the project's bounds of float32."""
    _, lines = measured
    asked = {line["name"]: line for line in lines if line.keys() & {"minimum", "maximum"}}
    assert asked["same best, CUDA graphs"]["value"] == asked["same best, eager"]["value"] == 1.0
    assert asked["error of bfloat16, CUDA graphs"]["value"] < 0.05


def test_every_line_says_when_where_and_with_what(measured):
    """Every line has command, date, device and versions."""
    done, lines = measured
    for line in lines:
        assert line["command"] == f"python benchmarks/gpu/run.py --device cpu --quick --results {done.args[-1]}"
        assert line["date"]
        assert line["device"]["cpu"]
        assert {"python", "torch", "transformers"} <= line["versions"].keys()


def test_the_table_shows_which_targets_are_met():
    """The table shows a met minimum, a missed maximum, and a note without a target."""
    bounds = ({"minimum": 0.4}, {"maximum": 0.4}, {"note": "n"})
    lines = table([Record("a", "m", 0.5, "s", **bound) for bound in bounds]).splitlines()
    assert [line.split(" s ", 1)[1].strip() for line in lines] == [">= 0.4 met", "<= 0.4 NOT MET", "n"]

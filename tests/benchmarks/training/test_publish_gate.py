"""The benchmark of the publication test: its last line, its results file, and trials that repeat."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks/training/publish_gate.py"


def test_trials_repeat_and_the_last_line_counts_them(tmp_path):
    """Two runs of two trials without adapters print the same, end in the counts, and write a line a kind of noise."""
    command = [sys.executable, SCRIPT, "--trials", "2", "--adapters", "--output", tmp_path / "results.jsonl"]
    printed = [subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout for _ in range(2)]  # noqa: S603
    assert printed[0] == printed[1]
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    published = {line["name"]: line["published"] for line in lines}
    assert published.keys() == {"gaussian", "heavy_tails", "word_weights"}
    last = f"false publications {published['gaussian']} of 2, true publications 0 of 0"
    assert printed[0].splitlines()[-1] == last

"""benchmarks/word_errors_of_file.py: the table of real lists and what lorb-rescore wrote for them."""

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lorb.formats import native_record, read_nbest_lists, write_native

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lists(sample):
    """Forty real lists, best first."""
    return read_nbest_lists([sample / "test.jsonl.gz"], require_references=True)[:40]


def table(folder, original, rescored, outcomes):
    """Writes both files and runs the script; returns its table and its standard error."""
    before, after = folder / "before.jsonl", folder / "after.jsonl"
    write_native(before, map(native_record, original))
    write_native(after, ({**native_record(n), "lorb": {"outcome": o}} for n, o in zip(rescored, outcomes, strict=True)))
    command = [sys.executable, ROOT / "benchmarks/word_errors_of_file.py", before, after]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own script
    return done.stdout, done.stderr


def reordered(nbest, seed):
    """The list in another order."""
    hypotheses = list(nbest.hypotheses)
    random.Random(seed).shuffle(hypotheses)
    return replace(nbest, hypotheses=tuple(hypotheses))


def test_the_order_of_the_original_does_not_matter(lists, tmp_path):
    """Lists in a mixed order have the same first pass as in the order of their scores."""
    mixed = [reordered(nbest, i) for i, nbest in enumerate(lists)]
    outcomes = ["rescored"] * 40
    # the rescored file is the same, so that only the first pass could differ
    assert table(tmp_path, mixed, lists, outcomes) == table(tmp_path, lists, lists, outcomes)


def test_lists_that_were_not_rescored_are_counted(lists, tmp_path):
    """The number of lists that lorb-rescore marked as not rescored in full is on standard error."""
    outcomes = ["rescored"] * 37 + ["partial", "first_pass", "unknown"]
    assert table(tmp_path, lists, lists, outcomes)[1] == "3 of 40 lists were not rescored in full\n"
    assert table(tmp_path, lists, lists, ["rescored"] * 40)[1] == ""

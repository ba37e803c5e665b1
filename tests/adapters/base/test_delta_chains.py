"""Deltas whose parent is a delta: a circle of them, or too many, is refused in one line."""

import json
import shutil

import pytest

from lorb.errors import BaseNotFound
from lorb_adapters.base.loader import load_base


def chain_of(tmp_path, delta, parents):
    """Writes a copy of the delta for each name, with the given parent."""
    for name, parent in parents.items():
        folder = shutil.copytree(delta, tmp_path / name)
        config = json.loads((folder / "lorb_delta.json").read_text())
        (folder / "lorb_delta.json").write_text(json.dumps(config | {"parent": parent}))


@pytest.mark.parametrize("parents", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "./c", "c": "x/../b"}])
def test_a_delta_that_leads_back_to_itself_is_refused(delta, tmp_path, parents):
    """A circle of one, two or three deltas, whatever the spelling of its paths, is an error in one line."""
    (tmp_path / "x").mkdir()
    chain_of(tmp_path, delta, parents)
    with pytest.raises(
        BaseNotFound, match=r"'/.*/a' is stored as deltas that lead back to themselves \(/.* -> /.*\): write"
    ):
        load_base("a")


def test_a_chain_of_too_many_deltas_is_refused(delta, tmp_path):
    """Nine deltas, each the parent of the next, are one more than are read."""
    chain_of(tmp_path, delta, {f"d{i}": f"d{i + 1}" for i in range(9)})
    with pytest.raises(BaseNotFound, match="stored as more than 8 deltas"):
        load_base("d0")

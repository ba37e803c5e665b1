"""Hidden states on disk: what is read is what was computed, and a file is used only for what it holds."""

import json

import pytest
import torch

from lorb.errors import InvalidInput
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.encoder import layer_cache
from lorb_adapters.training.encoder.layer_cache import CacheLayout, LayerCache


def row(*ids):
    return EncodedHypothesis(ids, (0,) * len(ids), 0, False)


ROWS = [
    row(5, 6, 7),
    row(1, 2),
    row(5, 6, 7),
    row(
        9,
    ),
    row(1, 3),
]


def layout(dtype=torch.float32, rows=ROWS, key="base", per_token=True):
    return CacheLayout.of(key, rows, 4, dtype, per_token=per_token)


def compute(rows):
    """A vector for each token, told by its id."""
    ids = torch.tensor([token for each in rows for token in each.token_ids], dtype=torch.float32)
    return ids[:, None] + torch.tensor([0.0, 0.25, 0.5, 1 / 3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_as_they_were_computed(tmp_path, dtype):
    """In any order and more than once, in either precision, to the bit."""
    LayerCache.make(tmp_path, layout(dtype), compute)
    asked = [ROWS[1], ROWS[0], ROWS[3], ROWS[0]]
    vectors = LayerCache(tmp_path, layout(dtype)).vectors(asked)
    assert vectors.dtype == dtype
    assert torch.equal(vectors, compute(asked).to(dtype))


def test_each_distinct_row_is_computed_once_and_the_file_is_as_large_as_was_said(tmp_path, monkeypatch):
    """Passes are bounded, copies merged, and the size was known beforehand."""
    monkeypatch.setattr(layer_cache, "_TOKENS_PER_PASS", 3)
    seen = []

    def counted(rows):
        seen.extend(rows)
        return compute(rows)

    LayerCache.make(tmp_path, layout(), counted)
    assert sorted(seen, key=lambda each: each.token_ids) == sorted(set(ROWS), key=lambda each: each.token_ids)
    assert (tmp_path / "hidden.bin").stat().st_size == layout().size_bytes == 8 * 4 * 4


def test_one_vector_a_row(tmp_path):
    """For methods that read a row's features alone."""
    by_row = layout(per_token=False)
    LayerCache.make(tmp_path, by_row, lambda rows: torch.stack([compute([each]).sum(0) for each in rows]))
    assert LayerCache(tmp_path, by_row).vectors([ROWS[0], ROWS[3]]).shape == (2, 4)


def test_a_file_is_reused_only_for_what_it_holds(tmp_path):
    """Another base, other rows, another precision or a torn file is computed anew; rows not in it are known as such."""
    assert not LayerCache.is_complete(tmp_path, layout())
    LayerCache.make(tmp_path, layout(), compute)
    assert LayerCache.is_complete(tmp_path, layout())
    assert LayerCache.is_complete(tmp_path, layout(rows=[*reversed(ROWS)]))
    for other in (layout(key="other"), layout(rows=ROWS[:2]), layout(torch.bfloat16), layout(per_token=False)):
        assert not LayerCache.is_complete(tmp_path, other)
    cache = LayerCache(tmp_path, layout())
    assert cache.holds(ROWS)
    assert not cache.holds([row(4, 4)])
    with open(tmp_path / "hidden.bin", "ab") as file:
        file.write(b"x")
    assert not LayerCache.is_complete(tmp_path, layout())


def test_a_stop_while_it_is_written_leaves_nothing_that_is_believed(tmp_path):
    """An exception in the middle: no file under the name that is read."""

    def stops(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LayerCache.make(tmp_path, layout(), stops)
    assert not LayerCache.is_complete(tmp_path, layout())
    (tmp_path / "hidden.json").write_text(json.dumps({"digest": layout().digest}))
    assert not LayerCache.is_complete(tmp_path, layout())


def test_too_little_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    """The size is checked against what is free, and the message says what to do."""

    class Usage:
        free = 10

    monkeypatch.setattr(layer_cache.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(InvalidInput, match="--no-layer-cache"):
        LayerCache.make(tmp_path, layout(), compute)
    assert list(tmp_path.iterdir()) == []

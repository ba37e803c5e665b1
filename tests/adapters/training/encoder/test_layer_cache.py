"""The layer cache: vectors read back to the bit, and a file is used only for its own layout."""

import json

import pytest
import torch

from lorb.errors import InvalidInput
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.encoder import layer_cache
from lorb_adapters.training.encoder.layer_cache import CacheLayout, LayerCache


def row(*ids):
    return EncodedHypothesis(ids, (0,) * len(ids), 0, False)


ROWS = [row(5, 6, 7), row(1, 2), row(5, 6, 7), row(9), row(1, 3)]


def layout(dtype=torch.float32, rows=ROWS, key="base", per_token=True):
    return CacheLayout.of(key, rows, 4, dtype, per_token=per_token)


def compute(rows):
    """A vector for each token, computed from its id."""
    ids = torch.tensor([token for each in rows for token in each.token_ids], dtype=torch.float32)
    return ids[:, None] + torch.tensor([0.0, 0.25, 0.5, 1 / 3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_as_they_were_computed(tmp_path, dtype):
    """Vectors read back in any order and repeatedly, in both precisions, to the bit."""
    LayerCache.build(tmp_path, layout(dtype), compute)
    wanted = [ROWS[1], ROWS[0], ROWS[3], ROWS[0]]
    vectors = LayerCache(tmp_path, layout(dtype)).vectors(wanted)
    assert vectors.dtype == dtype
    assert torch.equal(vectors, compute(wanted).to(dtype))


def test_each_distinct_row_is_computed_once(tmp_path, monkeypatch):
    """Equal rows are computed once, in passes of bounded size, and the file has the size of its layout."""
    monkeypatch.setattr(layer_cache, "_TOKENS_PER_PASS", 3)
    computed = []

    def counted(rows):
        computed.extend(rows)
        return compute(rows)

    LayerCache.build(tmp_path, layout(), counted)
    assert sorted(computed, key=lambda each: each.token_ids) == sorted(set(ROWS), key=lambda each: each.token_ids)
    assert (tmp_path / "hidden.bin").stat().st_size == layout().size_bytes == 8 * 4 * 4


def test_a_cache_can_hold_one_vector_per_row(tmp_path):
    """A layout of one vector per row reads back one vector per row."""
    by_row = layout(per_token=False)
    LayerCache.build(tmp_path, by_row, lambda rows: torch.stack([compute([each]).sum(0) for each in rows]))
    assert LayerCache(tmp_path, by_row).vectors([ROWS[0], ROWS[3]]).shape == (2, 4)


def test_a_file_is_used_only_for_its_layout(tmp_path):
    """A cache is not complete for another base, other rows, another precision, or after damage."""
    assert not LayerCache.is_complete(tmp_path, layout())
    LayerCache.build(tmp_path, layout(), compute)
    assert LayerCache.is_complete(tmp_path, layout())
    assert LayerCache.is_complete(tmp_path, layout(rows=[*reversed(ROWS)]))
    for other in (layout(key="other"), layout(rows=ROWS[:2]), layout(torch.bfloat16), layout(per_token=False)):
        assert not LayerCache.is_complete(tmp_path, other)
    cache = LayerCache(tmp_path, layout())
    assert cache.contains(ROWS)
    assert not cache.contains([row(4, 4)])
    with open(tmp_path / "hidden.bin", "ab") as file:
        file.write(b"x")
    assert not LayerCache.is_complete(tmp_path, layout())


def test_an_interrupted_build_leaves_no_complete_cache(tmp_path):
    """After an interrupt the cache is not complete, even with an index from before."""

    def interrupt(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LayerCache.build(tmp_path, layout(), interrupt)
    assert not LayerCache.is_complete(tmp_path, layout())
    (tmp_path / "hidden.json").write_text(json.dumps({"digest": layout().digest}))
    assert not LayerCache.is_complete(tmp_path, layout())


def test_too_little_space_is_an_error_before_anything_is_written(tmp_path, monkeypatch):
    """The size is compared with the free space, and the error names --no-layer-cache."""

    class Usage:
        free = 10

    monkeypatch.setattr(layer_cache.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(InvalidInput, match="--no-layer-cache"):
        LayerCache.build(tmp_path, layout(), compute)
    assert list(tmp_path.iterdir()) == []

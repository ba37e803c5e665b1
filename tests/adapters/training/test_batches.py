"""Batches: every list once an epoch, lengths evened out, the same from the same seed."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.formats import read_nbest_lists
from lorb_adapters.base.loader import load_base
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.batches import balanced_partition, batches, steps_per_epoch
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import encode_lists

CONFIG = TrainConfig(lists_per_step=4, hypotheses_per_list=3)


@pytest.fixture(scope="module")
def lists(tiny_bert, sample):
    nbests = read_nbest_lists([sample / "train.jsonl.gz"], require_references=True)[:90]
    return encode_lists(nbests, load_base(str(tiny_bert)).text_encoder, TextNormalization(), uses_context=False)


def test_an_epoch_has_every_list_once(lists):
    """Whatever the deal, and with a last batch that is shorter."""
    per_epoch = steps_per_epoch(len(lists), CONFIG)
    made = list(batches(lists, CONFIG, 2 * per_epoch))
    assert len(made) == 2 * per_epoch
    for epoch in (made[:per_epoch], made[per_epoch:]):
        assert Counter(each.nbest.id for batch in epoch for each in batch) == Counter(each.nbest.id for each in lists)
        assert [len(batch) for batch in epoch] == [4] * 22 + [2]


def test_the_seed_decides_and_a_later_start_sees_the_same(lists):
    """Equal seeds give equal batches, other seeds others, and epochs differ in order and in hypotheses."""
    once, again = (list(batches(lists, CONFIG, 30)) for _ in range(2))
    assert [[each.rows for each in batch] for batch in once] == [[each.rows for each in batch] for batch in again]
    other = list(batches(lists, replace(CONFIG, seed=1), 30))
    assert [[each.nbest.id for each in batch] for batch in other] != [[each.nbest.id for each in b] for b in once]
    assert [each.nbest.id for each in once[0]] != [each.nbest.id for each in once[23]]


def test_lengths_are_evened_out(lists):
    """Within a window of eight steps the longest batch has less than twice the tokens of the shortest."""
    full = replace(CONFIG, hypotheses_per_list=100)
    tokens = [sum(each.num_tokens for each in batch) for batch in batches(lists, full, 8)]
    assert max(tokens) < 2 * min(tokens)


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(1, 5))
def test_shares_cover_everything_and_none_is_overlong(lengths, num_shares):
    """Each position is in one share; the fullest exceeds the emptiest by no more than the longest single thing."""
    parts = balanced_partition(lengths, num_shares)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    totals = [sum(lengths[i] for i in part) for part in parts]
    assert max(totals) - min(totals) <= max(lengths, default=0)

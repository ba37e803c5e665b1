"""Batches: every list once per epoch, balanced lengths, and a seed that decides the draw."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.formats import read_nbest_lists
from lorb_adapters.base.loader import load_base
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.batches import balanced_partition, batches, sample_hypotheses, steps_per_epoch
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import encode_lists

CONFIG = TrainConfig(lists_per_step=4, hypotheses_per_list=3)


@pytest.fixture(scope="module")
def lists(tiny_bert, sample):
    nbests = read_nbest_lists([sample / "train.jsonl.gz"], require_references=True)[:90]
    return encode_lists(nbests, load_base(str(tiny_bert)).text_encoder, TextNormalization(), uses_context=False)


def test_an_epoch_has_every_list_once(lists):
    """Each epoch contains every list exactly once, in full batches and a shorter last one."""
    per_epoch = steps_per_epoch(len(lists), CONFIG)
    drawn = list(batches(lists, CONFIG, 2 * per_epoch))
    assert len(drawn) == 2 * per_epoch
    for epoch in (drawn[:per_epoch], drawn[per_epoch:]):
        assert Counter(each.nbest.id for batch in epoch for each in batch) == Counter(each.nbest.id for each in lists)
        assert [len(batch) for batch in epoch] == [4] * 22 + [2]


def test_the_seed_decides_order_and_hypotheses(lists):
    """Equal seeds give equal batches, different seeds different ones, and epochs differ in order."""
    first, second = (list(batches(lists, CONFIG, 30)) for _ in range(2))
    assert [[each.rows for each in batch] for batch in first] == [[each.rows for each in batch] for batch in second]
    other = list(batches(lists, replace(CONFIG, seed=1), 30))
    assert [[each.nbest.id for each in batch] for batch in other] != [[each.nbest.id for each in b] for b in first]
    assert [each.nbest.id for each in first[0]] != [each.nbest.id for each in first[23]]


def test_batches_have_balanced_lengths(lists):
    """Within a window of eight steps the longest batch has less than twice the tokens of the shortest."""
    full = replace(CONFIG, hypotheses_per_list=100)
    tokens = [sum(each.num_tokens for each in batch) for batch in batches(lists, full, 8)]
    assert max(tokens) < 2 * min(tokens)


def test_sampled_hypotheses_keep_the_first_pass_best_and_their_errors(lists):
    """A sample is in first-pass order, contains the first, and keeps each row's errors."""
    whole = max(lists, key=lambda each: len(each.rows))
    sampled = sample_hypotheses(whole, 4, random.Random(0))
    assert len(sampled.rows) == 4
    assert sampled.rows[0] == whole.rows[0]
    pairs = list(zip(whole.rows, whole.errors, strict=True))
    places = [pairs.index(pair) for pair in zip(sampled.rows, sampled.errors, strict=True)]
    assert places == sorted(places)
    assert sample_hypotheses(whole, 99, random.Random(0)) is whole


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(1, 5))
def test_a_partition_covers_everything_in_balance(lengths, num_parts):
    """Each position is in one part; the largest total exceeds the smallest by at most the longest item."""
    parts = balanced_partition(lengths, num_parts)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    totals = [sum(lengths[i] for i in part) for part in parts]
    assert max(totals) - min(totals) <= max(lengths, default=0)

"""Folds of dev: no speaker or dialogue in two of them, as far as the ids tell."""

import gzip
import json
from collections import Counter

import pytest

from lorb_adapters.training.evaluation.folds import NUM_FOLDS, fold_numbers, groups_by_id


def test_librispeech_is_divided_by_speaker(sample):
    """The groups of the sample's dev lists are their four speakers, and each is a fold of its own."""
    with gzip.open(sample / "dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        ids = [json.loads(line)["id"] for line in lines]
    groups = groups_by_id(ids)
    assert groups == [each.split("-")[0] for each in ids]
    assert len(set(groups)) == 4
    assert len(set(zip(groups, fold_numbers(groups), strict=True))) == 4 == len(set(fold_numbers(groups)))


@pytest.mark.parametrize(
    ("ids", "groups"),
    [
        (["voip-a-0328_16_0", "voip-a-0328_16_1", "voip-b-0402_08_1", "voip-b-0402_08_2"],
         ["voip-a", "voip-a", "voip-b", "voip-b"]),
        (["call-17-3", "call-17-4", "call-18-1", "call-19-1"], ["call-17", "call-17", "call-18", "call-19"]),
        (["460011ss", "f90014ss"], ["460011ss", "f90014ss"]),
        (["utt_1", "utt_2", "utt_3"], ["utt_1", "utt_2", "utt_3"]),
        (["a", "b-1", "b-2", "c.1"], ["a", "b", "b", "c"]),
        (["only"], ["only"]),
        ([], []),
    ],
)  # fmt: skip
def test_groups_are_the_shortest_beginning_without_a_majority(ids, groups):
    """A beginning that more than half of the ids share is too short; ids that tell nothing are groups of their own."""
    assert groups_by_id(ids) == groups


def test_folds_are_of_similar_size_and_do_not_follow_the_file():
    """Single lists give five equal folds that interleave; the same id is in the same fold in any order of the file."""
    ids = [f"utt{i}" for i in range(100)]
    folds = fold_numbers(ids)
    assert Counter(folds) == dict.fromkeys(range(NUM_FOLDS), 20)
    assert len(set(folds[:20])) > 1
    assert fold_numbers(ids[::-1]) == folds[::-1]


def test_a_large_group_does_not_share_its_fold_while_others_are_smaller():
    """The largest groups are placed first, each in the smallest fold."""
    groups = [*"a" * 50, *"b" * 20, *"c" * 20, *"d" * 20, *"e" * 10, *"f" * 10]
    folds = dict(zip(groups, fold_numbers(groups), strict=True))
    assert Counter(fold_numbers(groups)).most_common(1) == [(folds["a"], 50)]
    assert folds["e"] == folds["f"] or {folds["e"], folds["f"]}.isdisjoint({folds["a"]})

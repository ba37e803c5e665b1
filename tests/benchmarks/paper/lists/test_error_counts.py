"""Word errors of each list: as packed text, and with weights from the other half."""

import numpy as np

from lorb_adapters.training.evaluation.tuning import ScoredList
from study.lists.error_counts import SetCounts, cross_fitted, half, packed, unpacked
from study.lists.sets import Lists, prepare, write


def test_counts_read_back(tmp_path):
    """The counts of a set in their file, and as packed text."""
    counts = SetCounts.of("a-dev", [3, 5], [[1, 0, 2], [0, 1]])
    counts.write(tmp_path)
    read = SetCounts.read(tmp_path, "a-dev")
    assert [read.words.tolist(), read.first_pass.tolist(), read.oracle.tolist()] == [[3, 5], [1, 0], [0, 0]]
    assert read.wer(read.first_pass) == 12.5
    assert unpacked(packed(np.array([0, 12, 3]))).tolist() == [0, 12, 3]


def test_a_half_is_ranked_with_the_weight_of_the_other_half():
    """Rescoring is right in one half and wrong in the other: each is ranked with the weight of the other."""
    right = ScoredList([0.0, -1.0], [0.0, 9.0], [1, 0])
    wrong = ScoredList([0.0, -1.0], [0.0, 9.0], [0, 1])
    assert cross_fitted([right, right, wrong, wrong], [0, 0, 1, 1]) == [1, 1, 1, 1]
    assert cross_fitted([right, right, right, right], [0, 1, 0, 1]) == [0, 0, 0, 0]


def test_halves_are_drawn_by_id():
    """The halves have similar sizes and do not change."""
    halves = [half(f"list-{i}") for i in range(1000)]
    assert 400 < sum(halves) < 600
    assert halves == [half(f"list-{i}") for i in range(1000)]


def test_sets_are_made_from_the_three_collections_and_cut(tmp_path):
    """Dev shares no speaker or id with train, larger cuts contain smaller ones, the last hypotheses are cut."""
    hyps = [{"text": text, "score": -1.0} for text in ("a", "b", "c")]

    def lists(*ids):
        return [{"id": each, "ref": "a", "hyps": hyps} for each in ids]

    source = tmp_path / "source"
    for part in ("dev_clean", "dev_other", "test_clean", "test_other"):
        ids = [f"{speaker}-{part}-{n}" for speaker in range(8) for n in range(3)]
        write(source / "librispeech_ls100_10best" / f"{part}.jsonl.gz", lists(*ids))
    for part in ("train", "dev", "test"):
        write(source / "dstc2_live" / f"{part}.jsonl.gz", lists(f"{part}-1", f"{part}-2"))
    write(source / "hp_atis" / "train.jsonl.gz", lists(*(f"atis-{n}" for n in range(200))))
    write(source / "hp_atis" / "test.jsonl.gz", lists("atis-7", "other"))
    digests = prepare(source, tmp_path / "sets")
    assert prepare(tmp_path / "nowhere", tmp_path / "sets") == digests

    def ids(domain, part, **cut):
        from study.lists.sets import read

        return {each["id"] for each in read(Lists(domain, part, **cut).path(tmp_path / "sets"))}

    train, dev = ids("hp_atis", "train"), ids("hp_atis", "dev")
    assert train.isdisjoint(dev)
    assert len(train | dev) == 199
    assert 5 < len(dev) < 40
    speakers = [{each.split("-")[0] for each in ids("librispeech", part)} for part in ("train", "dev")]
    assert [len(each) for each in speakers] == [3, 5]
    small, large = (ids("hp_atis", "train", count=count, hypotheses=2) for count in (10, 20))
    assert len(small) == 10
    assert small < large < train

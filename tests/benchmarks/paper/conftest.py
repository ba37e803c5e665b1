"""Fixtures of the study's tests: a tiny size with a tiny encoder and LibriSpeech's sample."""

import gzip
import json

import pytest

from study.harness.runner import Folders
from study.harness.sizes import Counts, Size


@pytest.fixture
def folders(tmp_path):
    """Empty folders of a study."""
    return Folders(tmp_path / "results", tmp_path / "scratch", tmp_path / "sets")


@pytest.fixture(scope="session")
def sample_sets(sample, tmp_path_factory):
    """Prepared sets of three domains, each LibriSpeech's sample with other ids."""
    sets = tmp_path_factory.mktemp("sets")
    for domain in ("librispeech", "dstc2_live", "hp_atis"):
        (sets / domain).mkdir()
        for part in ("train", "dev", "test"):
            with gzip.open(sample / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
                records = [json.loads(line) for line in lines][:60]
            with gzip.open(sets / domain / f"{part}.jsonl.gz", "wt", encoding="utf-8") as out:
                out.writelines(json.dumps(r | {"id": f"{r['id']}-{domain}"}) + "\n" for r in records)
    return sets


@pytest.fixture
def tiny_size(tiny_bert):
    """Two domains, 12 train and 10 dev lists each."""
    counts = {domain: Counts(12, 10, 8) for domain in ("hp_atis", "dstc2_live")}
    return Size("tiny", str(tiny_bert), counts, 4, 1, 2, 1, 2, (6, 9, 12), 1e-3)

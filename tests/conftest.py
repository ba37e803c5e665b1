"""Fixtures for all tests: tiny bases, the real lists of the sample, and keys for signing."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("lorb", deadline=None)  # a slow example on a busy machine is not a failure
settings.load_profile("lorb")
# Processes that tests start import tests/support too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the thread pool of tokenizers does not survive a fork


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """A folder with a tiny random BERT and its tokenizer."""
    from support.adapters.tiny_bases import make_bert

    return make_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory) -> Path:
    """A folder with a tiny random RoBERTa and its tokenizer."""
    from support.adapters.tiny_bases import make_roberta

    return make_roberta(tmp_path_factory.mktemp("tiny-roberta"))


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder with the real LibriSpeech lists: train, dev and test, as .jsonl.gz."""
    return Path(__file__).parent / "data" / "librispeech"


@pytest.fixture(scope="session")
def sample_dev(sample):
    """The dev lists of the sample."""
    from lorb.formats import read_nbest_lists

    return read_nbest_lists([sample / "dev.jsonl.gz"], require_references=True)


def pytest_collection_modifyitems(items):
    """Skips the tests that need a GPU if there is none."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items:
        import torch

        if not torch.cuda.is_available():
            for item in gpu_items:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> Path:
    """A folder with two key pairs for signing, `ours` and `theirs`."""
    from lorb_adapters.store.signing import create_key_pair

    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        create_key_pair(folder / name)
    return folder

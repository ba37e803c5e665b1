"""What the tests of the store and of loading share: a loaded base, and what is published for it."""

from pathlib import Path

import pytest
import torch

from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.sites import fresh_weights
from lorb_adapters.lora.weights import LoraConfig
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


@pytest.fixture(scope="session")
def store_base(tiny_bert: Path) -> Base:
    """The tiny BERT, loaded. A RescoringModel takes its encoder over: make one after the other."""
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    """The tiny BERT's encoder, not taken over by any model."""
    return load_base(str(tiny_bert)).encoder


@pytest.fixture
def fresh(encoder):
    """An adapter for it as training begins."""
    return fresh_weights(encoder, LoraConfig(rank=4), HeadWeights.zeros("sum", 32), torch.Generator().manual_seed(0))


@pytest.fixture
def store(tmp_path) -> Store:
    """A store in a folder that does not exist yet."""
    return Store(str(tmp_path / "store"))


@pytest.fixture(scope="module")
def publication(store_base):
    """A whole publication, golden list included."""
    return make_publication(store_base)


@pytest.fixture
def version(store, publication) -> str:
    """The id of the one published version."""
    return store.publish(publication, set_stable=True)

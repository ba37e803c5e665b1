"""Fixtures of the store's and the encoder's tests: a loaded base, and a publication for it."""

from pathlib import Path

import pytest
import torch

from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import initial_weights
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


@pytest.fixture(scope="session")
def store_base(tiny_bert: Path) -> Base:
    """The tiny BERT, loaded."""
    return load_base(str(tiny_bert))


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    """The tiny BERT's encoder."""
    return load_base(str(tiny_bert)).encoder


@pytest.fixture
def fresh(encoder):
    """A fresh adapter for the tiny BERT."""
    return initial_weights(encoder, LoraConfig(rank=4), HeadWeights.zeros("sum", 32), torch.Generator().manual_seed(0))


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

"""What the store's tests share: a tiny real BERT base."""

from pathlib import Path

import pytest
import torch
from lorb_adapters.base import Base, load_base
from transformers import BertConfig, BertModel, BertTokenizerFast

_WORDS = "the a cat sat sad on mat dog ran home please call mother it is too late".split()


@pytest.fixture(scope="session")
def store_base_folder(tmp_path_factory) -> Path:
    """A folder with a randomly initialised BERT of two layers and a word-level vocabulary."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    letters = "abcdefghijklmnopqrstuvwxyz'"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS, *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=128, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def store_base(store_base_folder) -> Base:
    """The tiny BERT, loaded."""
    return load_base(str(store_base_folder))

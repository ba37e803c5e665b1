"""Makes the benchmarks' encoders and 32 random adapters for each, published in a LoRB store.

Published versions have peft's file format, so that LoRB and every peer read the same files. They are kept in
LORB_BENCHMARK_CACHE (default: a folder in the system's temporary folder) and made again if incomplete.
Random encoders take their tokenizer from MiniLM's package, or from the folder LORB_BENCHMARK_TOKENIZER.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # random publications
import torch
from transformers import BertConfig, BertModel

from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import CLS, HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, initial_weights
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.store.store import Store
from lorb_adapters.text import TextNormalization
from support.adapters.publications import make_publication
from workload import domain_name

MINILM, BERT_BASE, TINY = "minilm", "bert-base", "tiny"
MODELS = (MINILM, BERT_BASE)
# BertConfig arguments. The defaults have BERT-base's shapes and the vocabulary size of MiniLM's tokenizer.
RANDOM = {
    BERT_BASE: {},
    TINY: {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128},
}
NUM_ADAPTERS = 32
RANK = 8
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CACHE = Path(os.environ.get("LORB_BENCHMARK_CACHE", Path(tempfile.gettempdir()) / "lorb-benchmarks"))

_FORMAT = "1"  # change it to invalidate old caches
_RANKING = Ranking(1.0, 1.0, 0.0, RankPrior((-0.5, -2.0), 1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model on disk.

    Attributes:
        name: of the model.
        base: folder of the encoder and its tokenizer.
        store: folder of the published adapters, one version for each domain.
    """

    name: str
    base: Path
    store: Path

    def version_folder(self, domain: int) -> Path:
        """The files of a domain's adapter: adapter_config.json, adapter_model.safetensors, head.safetensors."""
        [folder] = (self.store / domain_name(domain) / "versions").iterdir()
        return folder


def prepared(name: str) -> Prepared:
    """The model's folders, made if they are missing. name: one of MODELS, or TINY."""
    folder = CACHE / name
    marker = folder / "complete"
    if not marker.is_file() or marker.read_text() != _FORMAT:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "store").mkdir(parents=True)
        _make_base(name, folder / "base")
        _publish_adapters(folder)
        marker.write_text(_FORMAT)
    return Prepared(name, folder / "base", folder / "store")


def _make_base(name: str, folder: Path) -> None:
    from lorb_adapters.base.named import MINILM, base_source

    tokenizer = os.environ.get("LORB_BENCHMARK_TOKENIZER") if name in RANDOM else None
    shutil.copytree(tokenizer or base_source(MINILM), folder)
    if name in RANDOM:
        (folder / "model.safetensors").unlink(missing_ok=True)
        torch.manual_seed(0)
        BertModel(BertConfig(**RANDOM[name]), add_pooling_layer=False).save_pretrained(folder)


def _publish_adapters(folder: Path) -> None:
    base = load_base(str(folder / "base"))
    store = Store(str(folder / "store"))
    fields = {"ranking": _RANKING, "normalization": TextNormalization(), "golden_lists": ()}
    for number in range(NUM_ADAPTERS):
        weights = random_adapter(base, number)
        store.publish(make_publication(base, domain_name(number), weights=weights, **fields), set_stable=True)


def random_adapter(base: Base, seed: int) -> AdapterWeights:
    """A random adapter of rank 8 on all six linear layers of each block, with a first-token head, as peers have."""
    generator = torch.Generator().manual_seed(seed)
    head = HeadWeights(CLS, torch.randn(base.hidden_size, generator=generator), torch.zeros(()))
    weights = initial_weights(base.encoder, LoraConfig(rank=RANK, alpha=2.0 * RANK), head, generator)
    for _, b in weights.lora.values():
        b.normal_(0, 0.02, generator=generator)
    return weights

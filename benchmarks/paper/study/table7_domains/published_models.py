"""Publishes an adapter for each of 100 domains, and full models of some of them.

The first domain has the shipped LibriSpeech adapter. The others have copies with Gaussian noise on each B, of 5% of its
standard deviation, and golden lists with their own scores. A full model is the base with an adapter merged into it, so
that both give the same scores.
"""

import copy
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.base.writer import write_base
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import Publication
from lorb_adapters.store.manifest import GoldenList, Manifest
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from study.harness.command import ROOT
from study.table8_lora_vs_full.updates import adapter_updates

SHIPPED = ROOT / "adapters" / "store"
NUM_DOMAINS = 100
# Models on disk, 90 MB each; further domains load them again. RSS counts every mapping of a file, as it would count
# separate files; PSS counts the file once.
NUM_FULL_MODELS = 4
_NOISE = 0.05


def domain_name(number: int) -> str:
    """The name of a domain in the store."""
    return f"domain-{number:03d}"


def full_model(folder: Path, number: int) -> Path:
    """The folder of a domain's full model; domains share the models that exist."""
    models = sorted(folder.glob("full-*"))
    return models[number % len(models)]


def publish_all(
    folder: Path, num_domains: int = NUM_DOMAINS, num_full_models: int = NUM_FULL_MODELS, shipped: Path = SHIPPED
) -> None:
    """Makes `folder` with its store and full models atomically, unless it exists.

    shipped: a store with one domain, whose newest version is published as the first domain.
    """
    if folder.exists():
        return
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    (partial / "store").mkdir(parents=True)
    source, store = Store(str(shipped)), Store(str(partial / "store"))
    [domain] = source.domains()
    manifest = source.manifest(domain, source.versions(domain)[-1])
    base = load_base(manifest.base_name)
    plain = copy.deepcopy(base.encoder)  # RescoringModel takes ownership of its encoder
    weights = load_adapter(source, domain, manifest.version, base).weights
    model = RescoringModel(base)
    for number in range(num_domains):
        own = altered(weights, number) if number else weights
        store.publish(publication(domain_name(number), own, manifest, model), set_stable=True)
        if number < num_full_models:
            merged = replace(base, encoder=copy.deepcopy(plain))
            _merge(merged, adapter_updates(own))
            write_base(partial / f"full-{number}", merged, own.head)
    try:
        partial.rename(folder)
    except OSError:  # another process made it first
        shutil.rmtree(partial)


def ensure_published(folder: Path) -> None:
    """Makes the folder in a child process, so that the memory of this process does not change."""
    if not folder.exists():
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        subprocess.run(
            [sys.executable, "-m", "study.table7_domains.published_models", str(folder)], env=environment, check=True
        )


def altered(weights: AdapterWeights, seed: int) -> AdapterWeights:
    """A copy of the adapter with noise on each B."""
    generator = torch.Generator().manual_seed(seed)

    def noisy(b: Tensor) -> Tensor:
        return b + _NOISE * b.std() * torch.randn(b.shape, generator=generator)

    return replace(weights, lora={site: (a.clone(), noisy(b)) for site, (a, b) in weights.lora.items()})


def publication(domain: str, weights: AdapterWeights, like: Manifest, model: RescoringModel) -> Publication:
    """A publication of these weights with the other fields of `like`."""
    golden = tuple(GoldenList.of(each.nbest, _scores(each, weights, like, model)) for each in like.golden_lists)
    return Publication(
        domain, weights, like.base_name, like.base_fingerprint, like.ranking, like.normalization, like.uses_context,
        like.first_pass_statistics, like.training_data, like.dev_metrics, golden, report_md="", report_json="{}",
    )  # fmt: skip


def _scores(golden: GoldenList, weights: AdapterWeights, like: Manifest, model: RescoringModel) -> tuple[float, ...]:
    texts = [each.transcript for each in golden.nbest.distinct()]
    rows = model.base.text_encoder.encode(texts, golden.nbest.context, like.normalization, like.uses_context)
    return tuple(model.score(rows, [weights], [0] * len(rows)).tolist())


@torch.no_grad()
def _merge(base: Base, updates: dict[str, Tensor]) -> None:
    for path, update in updates.items():
        base.encoder.get_parameter(f"{path}.weight").add_(update)


if __name__ == "__main__":
    publish_all(Path(sys.argv[1]))

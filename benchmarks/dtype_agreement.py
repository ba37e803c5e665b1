"""Compares bfloat16 with float32: share of lists with the same best hypothesis, and word errors of each.

Uses the shipped LibriSpeech adapter and the dev and train lists in tests/data, but no test lists.

    python benchmarks/dtype_agreement.py
"""

from pathlib import Path
from statistics import median, pstdev

import torch

from lorb.formats import read_nbest_lists
from lorb.nbest import NBest
from lorb.word_errors import word_errors
from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import map_order
from lorb_adapters.store.choose_base import AUTO, choose_base
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = [ROOT / f"tests/data/librispeech/{split}.jsonl.gz" for split in ("dev", "train")]
DOMAIN = "librispeech"


def scores_in(dtype: torch.dtype, lists: list[NBest]) -> tuple[list[list[float]], list[list[float]]]:
    """Rescoring scores and combined scores of every list's distinct hypotheses."""
    store = Store(str(ROOT / "adapters/store"))
    base = load_base(choose_base(AUTO, store), dtype=dtype)
    adapter = load_adapter(store, DOMAIN, store.versions(DOMAIN)[-1], base)
    model, manifest = RescoringModel(base), adapter.manifest
    rescoring, combined = [], []
    for nbest in lists:
        texts = [each.transcript for each in nbest.distinct()]
        rows = base.text_encoder.encode(texts, "", manifest.normalization, uses_context=False)
        scores = model.score(rows, [adapter.weights], [0] * len(rows)).tolist()
        rescoring.append(scores)
        first_pass = [each.first_pass_score for each in nbest.distinct()]
        combined.append([f + manifest.ranking.weight * r for f, r in zip(first_pass, scores, strict=True)])
    return rescoring, combined


def main() -> None:
    lists = [nbest for nbest in read_nbest_lists(SAMPLE) if len(nbest.distinct()) > 1]
    exact, exact_combined = scores_in(torch.float32, lists)
    rounded, rounded_combined = scores_in(torch.bfloat16, lists)
    differences = [
        pstdev(a - b for a, b in zip(of_exact, of_rounded, strict=True)) / pstdev(of_exact)
        for of_exact, of_rounded in zip(exact, rounded, strict=True)
    ]
    best = [(map_order(a)[0], map_order(b)[0]) for a, b in zip(exact_combined, rounded_combined, strict=True)]
    errors = [
        [word_errors(nbest.reference or "", nbest.distinct()[i].transcript) for i in chosen]
        for nbest, chosen in zip(lists, best, strict=True)
    ]
    print(f"lists                          {len(lists)}")
    print(f"same best hypothesis           {sum(a == b for a, b in best) / len(lists):.2%}")
    print(f"difference / spread in a list  {median(differences):.2%} (median)")
    for name, counts in zip(("float32", "bfloat16"), zip(*errors, strict=True), strict=True):
        print(f"word errors in {name:<16}{sum(counts)}")


if __name__ == "__main__":
    main()

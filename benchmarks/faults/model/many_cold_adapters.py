"""A store of 100 new adapters, and a version with 4,096 golden hypotheses that arrives while a server takes calls.

    python benchmarks/faults/model/many_cold_adapters.py
    python benchmarks/faults/model/many_cold_adapters.py --commands FOLDER --release before

The server must serve all 100 adapters within 15 s of its start, and must rescore calls while it verifies the large
version. The machine must have nothing else to do. Adds to benchmarks/results/faults_of_issues.jsonl.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/faults
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))  # publications
from fault_figures import FaultFigure, parse_arguments, report_figures
from server_process import STORE, server_process

from lorb import Hypothesis, NBest, Outcome, RescoreOptions
from lorb.formats.reading import read_nbest_lists
from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import Adapter, Publication
from lorb_adapters.store.manifest import GoldenList
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_client import Client
from results_file import ROOT
from support.adapters.publications import make_publication

NUM_ADAPTERS = 100
READY_SECONDS = 15.0
NUM_GOLDEN_LISTS = 64
HYPOTHESES_PER_LIST = 64
CALL_SECONDS = 1.0
MINIMUM_RESCORED = 0.95  # of the calls during the verification
VERIFIED_SECONDS = 120.0
DOMAIN = "librispeech"


def publication(
    adapter: Adapter, base: Base, domain: str, factor: float, golden_lists: Sequence[GoldenList]
) -> Publication:
    """The adapter for another domain, with all its scores multiplied by `factor`, so that its weights are new."""
    head, manifest = adapter.weights.head, adapter.manifest
    scaled_lists = tuple(
        msgspec.structs.replace(each, rescoring_scores=tuple(factor * score for score in each.rescoring_scores))
        for each in golden_lists
    )
    return make_publication(
        base,
        domain,
        weights=replace(adapter.weights, head=HeadWeights(head.kind, factor * head.weight, factor * head.bias)),
        golden_lists=scaled_lists,
        ranking=manifest.ranking,
        normalization=manifest.normalization,
        uses_context=manifest.uses_context,
    )


def cold_start(commands: Path, adapter: Adapter, base: Base) -> Iterator[FaultFigure]:
    """The figure of a server that starts on a store of 100 adapters."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for number in range(NUM_ADAPTERS):
            golden_lists = adapter.manifest.golden_lists
            store.publish(
                publication(adapter, base, f"domain-{number:03}", 1 + number / 1000, golden_lists), set_stable=True
            )
        began = time.monotonic()
        with server_process(commands, "--store", folder) as server:
            seconds = time.monotonic() - began
            with Client(server.target) as client:
                num_served = len(client.server_info().domains)
        is_right = seconds < READY_SECONDS and num_served >= NUM_ADAPTERS
        yield FaultFigure(
            "100 cold adapters", f"{num_served} domains served {seconds:.1f} s after the start", seconds, is_right
        )


def large_version(commands: Path, adapter: Adapter, base: Base, lists: Sequence[NBest]) -> Iterator[FaultFigure]:
    """The figures of a server that verifies a version of 4,096 golden hypotheses while it takes calls."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.publish(publication(adapter, base, DOMAIN, 1.0, adapter.manifest.golden_lists), set_stable=True)
        large = store.publish(
            publication(adapter, base, DOMAIN, 2.0, golden_lists(adapter, base, lists)), set_stable=False
        )
        flags = ("--store", folder, "--score-cache-bytes", 0)
        promote = [commands / "lorb-adapters", "--store", folder, "promote", DOMAIN, large]
        with server_process(commands, *flags) as server, Client(server.target) as client:
            subprocess.run(promote, check=True, stdout=subprocess.DEVNULL)
            began = time.monotonic()
            num_calls = num_rescored = 0
            longest, version = 0.0, ""
            while version != large and time.monotonic() < began + VERIFIED_SECONDS:
                sent_at = time.monotonic()
                ranked = call(client, lists[num_calls % len(lists)])
                longest = max(longest, time.monotonic() - sent_at)
                num_calls += 1
                num_rescored += ranked is not None and ranked.outcome is Outcome.RESCORED
                version = ranked.adapter.version if ranked is not None else ""
            seconds = time.monotonic() - began
    name = "version of 4,096 golden hypotheses"
    share = num_rescored / num_calls
    yield FaultFigure(
        f"{name}: calls meanwhile",
        f"{num_rescored} of {num_calls} rescored, the longest took {longest:.2f} s",
        longest,
        share >= MINIMUM_RESCORED,
    )
    yield FaultFigure(
        f"{name}: flip",
        f"it served {seconds:.1f} s after the promote" if version == large else "never",
        seconds,
        version == large,
    )


def call(client: Client, nbest: NBest):
    """The answer to one call; None if it is an error."""
    try:
        return client.rescore(nbest, RescoreOptions(domain=DOMAIN), timeout_seconds=CALL_SECONDS)
    except Exception:
        return None


def golden_lists(adapter: Adapter, base: Base, lists: Sequence[NBest]) -> list[GoldenList]:
    """64 lists of 64 texts of the sample, with the adapter's scores."""
    model, manifest = RescoringModel(base), adapter.manifest
    texts = list(dict.fromkeys(hypothesis.transcript for nbest in lists for hypothesis in nbest.hypotheses))
    golden = []
    for number in range(NUM_GOLDEN_LISTS):
        first = number * HYPOTHESES_PER_LIST
        chosen = [texts[i % len(texts)] for i in range(first, first + HYPOTHESES_PER_LIST)]
        nbest = NBest(tuple(Hypothesis(text, -float(i)) for i, text in enumerate(chosen)), id=f"golden-{number}")
        distinct = [each.transcript for each in nbest.distinct()]
        rows = base.text_encoder.encode(distinct, "", manifest.normalization, manifest.uses_context)
        scores = model.score(rows, [adapter.weights], [0] * len(rows)).tolist()
        golden.append(GoldenList.of(nbest, tuple(scores)))
    return golden


def main() -> int:
    """Makes the stores and measures the server."""
    args = parse_arguments(__doc__)
    base, store = load_base("rescore-minilm"), Store(str(STORE))
    [version] = store.versions(DOMAIN)
    adapter = load_adapter(store, DOMAIN, version, base)
    lists = list(read_nbest_lists([ROOT / "tests" / "data" / "librispeech" / "dev.jsonl.gz"]))
    figures = [*cold_start(args.commands, adapter, base), *large_version(args.commands, adapter, base, lists)]
    return report_figures(args.release, figures)


if __name__ == "__main__":
    sys.exit(main())

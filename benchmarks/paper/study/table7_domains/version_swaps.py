"""A cell that times how long a new version takes from publication until a real server serves it."""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.harness.cell import CellContext
from study.table7_domains.hosting import PUBLISHED

if TYPE_CHECKING:
    from lorb_adapters.store.store import Store
    from serving_process import ServingProcess

NUM_SWAPS = 7
_TEXTS = ("they's iron they say", "there's iron they say")


@dataclass(frozen=True, slots=True)
class VersionSwaps:
    """Publishes versions of the first domain, refreshes the server's registry, and calls the new version.

    Attributes:
        num_domains: number of domains in the store; the server loads all.
    """

    num_domains: int

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"swapping": asdict(self) | {"swaps": NUM_SWAPS}}

    def command(self) -> str:
        """The command that does the same by hand."""
        return f"python benchmarks/paper/table7.py --only swap-domains{self.num_domains}"

    def run(self, context: CellContext) -> dict[str, Any]:
        """Returns the milliseconds of each swap, and the server's memory before and after, in MiB."""
        from serving_process import serving_process
        from study.table7_domains.published_models import ensure_published

        published = context.scratch.parent / PUBLISHED
        ensure_published(published)
        folder = context.scratch / "store"
        store = _cut(published / "store", folder, self.num_domains)
        os.environ["OMP_NUM_THREADS"] = str(context.threads)
        flags = ("--base", "rescore-minilm", "--store", folder, "--poll-seconds", 3600, "--score-cache-bytes", 0)
        with serving_process(*flags, "--threads", context.threads) as server:
            before = server.rss_mib()
            swaps = _swap(store, server)
            after = server.rss_mib()
        shutil.rmtree(folder)
        return {"swaps": swaps, "server_rss_mib": {"before": round(before, 1), "after": round(after, 1)}}


def _cut(whole: Path, folder: Path, num_domains: int) -> "Store":
    """A copy of the store with only the first domains."""
    from lorb_adapters.store.store import Store
    from study.table7_domains.published_models import domain_name

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(whole / "index.json", folder)
    for number in range(num_domains):
        shutil.copytree(whole / domain_name(number), folder / domain_name(number))
    return Store(str(folder))


def _swap(store: "Store", server: "ServingProcess") -> dict[str, list[float]]:
    """Milliseconds of each swap: to publish; to load, check and switch; and to answer the next call.

    For the second part also the server's processor time.
    """
    import time

    import grpc

    from lorb import Hypothesis, NBest, RescoreOptions
    from lorb.v1 import admin_pb2, admin_pb2_grpc
    from lorb_adapters.base.loader import load_base
    from lorb_adapters.model import RescoringModel
    from lorb_adapters.store.verified_loading import load_adapter
    from lorb_client import Client
    from study.table7_domains.published_models import altered, domain_name, publication

    domain = domain_name(0)
    [version] = store.versions(domain)
    manifest = store.manifest(domain, version)
    model = RescoringModel(load_base(manifest.base_name))
    weights = load_adapter(store, domain, version, model.base).weights
    nbest = NBest(tuple(Hypothesis(text, -5.0 - rank) for rank, text in enumerate(_TEXTS)))
    wall_ms: dict[str, list[float]] = {"publish_ms": [], "load_and_flip_ms": [], "call_ms": []}
    processor_ms: list[float] = []
    with (
        Client(server.target) as client,
        grpc.insecure_channel(f"127.0.0.1:{server.ports['admin_port']}") as channel,
    ):
        admin = admin_pb2_grpc.AdapterAdminServiceStub(channel)  # type: ignore[no-untyped-call]
        options = RescoreOptions(domain=domain)
        client.rescore(nbest, options, timeout_seconds=60)
        for number in range(NUM_SWAPS):
            new = publication(domain, altered(weights, 1000 + number), manifest, model)
            times = [time.perf_counter()]
            version = store.publish(new, set_stable=True)
            times.append(time.perf_counter())
            before = _processor_seconds(server)
            admin.RefreshRegistry(admin_pb2.RefreshRegistryRequest())
            times.append(time.perf_counter())
            processor_ms.append(round(1000 * (_processor_seconds(server) - before), 1))
            answer = client.rescore(nbest, options, timeout_seconds=60)
            times.append(time.perf_counter())
            if answer.adapter is None or answer.adapter.version != version:
                raise RuntimeError(f"adapter {answer.adapter} answered, expected version {version}")
            for name, began, ended in zip(wall_ms, times, times[1:], strict=False):
                wall_ms[name].append(round(1000 * (ended - began), 2))
    return wall_ms | {"load_and_flip_processor_ms": processor_ms}


def _processor_seconds(server: "ServingProcess") -> float:
    """The server's processor seconds, in steps of 0.01 s."""
    times = server.process.cpu_times()
    return float(times.user + times.system)

"""Starts a server on a store with two hostile versions and measures how long health and calls of another domain wait.

    python benchmarks/faults/hostile_manifest.py [--commands FOLDER] [--release NAME]

The store has three domains: one with an honest adapter, one whose manifest.json has 64 MiB, and one with 800,000
tensors in adapter_model.safetensors. Health is asked every 50 ms from the moment the port is open. Once the server
serves, the store changes, so that the server verifies the hostile versions again while it is called.
"""

import hashlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # random adapters
import grpc
import torch
from fault_figures import FaultFigure, parse_arguments, report_figures
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lorb import Hypothesis, NBest, RescoreOptions
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from lorb_client import Client
from serving_process import free_port, serving_process
from support.adapters.publications import make_publication

BASE = "minilm"
MANIFEST_BYTES = 64 * 1024 * 1024
NUM_TENSORS = 800_000
LIST = NBest((Hypothesis("the cat sat", -1.0), Hypothesis("the cat sad", -1.2)))
LONGEST_WAIT_SECONDS = 2.0
PAUSE_SECONDS = 0.05


def main() -> int:
    """Measures, prints and records the figures."""
    args = parse_arguments(__doc__)
    torch.set_num_threads(1)
    base = load_base(BASE)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for seed, domain in enumerate(("honest", "manifest", "tensors")):
            store.publish(make_publication(base, domain, seed, golden_lists=()), set_stable=True)
        enlarge_manifest(store)
        multiply_tensors(store)
        figures = measure(store, args.commands)
    return report_figures(args.release, figures)


def version_folder(store: Store, domain: str) -> Path:
    """The folder of a domain's only version."""
    [version] = store.versions(domain)
    return Path(store.url) / domain / "versions" / version


def enlarge_manifest(store: Store) -> None:
    """Adds metrics to the manifest until it has just below 64 MiB, the limit of earlier releases."""
    path = version_folder(store, "manifest") / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["dev_metrics"] = {f"{number:08x}": 0.5 for number in range(MANIFEST_BYTES // 18)}
    path.write_text(json.dumps(manifest))
    assert path.stat().st_size <= MANIFEST_BYTES


def multiply_tensors(store: Store) -> None:
    """Replaces the weights by many empty tensors, and their digest in the manifest."""
    folder = version_folder(store, "tensors")
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"{number:x}": entry for number in range(NUM_TENSORS)}, separators=(",", ":")).encode()
    content = len(header).to_bytes(8, "little") + header
    (folder / "adapter_model.safetensors").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["file_sha256"]["adapter_model.safetensors"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


class LongestWait(threading.Thread):
    """Repeats a call until it is stopped.

    Attributes:
        seconds: the longest time of one call.
        num_done: the number of calls that were answered.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.seconds = 0.0
        self.num_done = 0
        self._call = call
        self._ended = threading.Event()

    def run(self) -> None:
        """Calls, and pauses between calls."""
        while not self._ended.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                self._call()
            except grpc.RpcError:  # the port is not open yet
                continue
            self.num_done += 1
            self.seconds = max(self.seconds, time.monotonic() - began)

    def stop(self) -> float:
        """Ends the thread; returns the longest time."""
        self._ended.set()
        self.join()
        return self.seconds


def measure(store: Store, commands: Path) -> list[FaultFigure]:
    """Starts the server and returns the figures of its start and of a later change of the store."""
    port = free_port()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        at_start = LongestWait(lambda: check(health_pb2.HealthCheckRequest(), timeout=60.0))
        at_start.start()
        began = time.monotonic()
        flags = ("--store", store.url, "--base", BASE, "--threads", 1, "--port", port, "--poll-seconds", 0.2)
        with serving_process(*flags, command=(str(commands / "lorb-serve"),)) as server:
            start_seconds = time.monotonic() - began
            figures = [waited("start: health", at_start.stop(), f"; serving after {start_seconds:.1f} s")]
            before = refused(server)
            with Client(server.target) as client:
                health = LongestWait(lambda: check(health_pb2.HealthCheckRequest(), timeout=60.0))
                options = RescoreOptions(domain="honest")
                calls = LongestWait(lambda: client.rescore(LIST, options, timeout_seconds=60.0))
                health.start()
                calls.start()
                [version] = store.versions("honest")
                store.set_alias("honest", "shadow", version)  # any change lets the server verify refused versions
                give_up = time.monotonic() + 30.0
                while refused(server) < before + 2 and time.monotonic() < give_up:
                    time.sleep(0.2)
                time.sleep(1.0)
                is_refused = refused(server) >= before + 2
                figures.append(waited("change: health", health.stop()))
                figures.append(waited("change: calls of another domain", calls.stop(), f"; {calls.num_done} calls"))
    outcome = "refused" if is_refused else "not refused within 30 s"
    figures.append(FaultFigure("hostile versions, change: both versions", outcome, None, is_refused))
    return figures


def refused(server) -> float:
    """The number of refused loads so far."""
    return server.total("lorb_adapter_loads_total", result="refused")


def waited(fault: str, seconds: float, more: str = "") -> FaultFigure:
    """The figure of a longest wait."""
    measured = f"longest wait {seconds:.2f} s{more}"
    return FaultFigure(f"hostile versions, {fault}", measured, round(seconds, 2), seconds < LONGEST_WAIT_SECONDS)


if __name__ == "__main__":
    sys.exit(main())

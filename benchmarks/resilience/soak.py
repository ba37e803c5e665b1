"""Sends 100,000 calls with random deadlines and cancellations to a tiny model while its adapters change.

The server has a tiny random BERT and several domains. A thread publishes versions and moves `stable` during the run.
Checks that memory, threads and asyncio tasks do not grow after the first fifth of the calls, and that the counters of
client and server agree. Prints a table and writes `benchmarks/results/soak.jsonl`.

    python benchmarks/resilience/soak.py [--calls 100000] [--callers 16] [--quick]
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # the tiny base and its adapters
from soak_calls import SoakCalls
from soak_checks import Sample, checks_of, settled_of

from lorb import FallbackPolicy, NBest, RescoreOptions
from lorb.formats import read_nbest_lists
from lorb.wire import request_from_nbest
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from results_file import RESULTS, ROOT, write_results
from serving_process import ServingProcess, serving_process
from support.adapters.publications import make_publication
from support.adapters.tiny_bases import make_bert

DOMAINS = ("voice0", "voice1", "voice2", "voice3")
VERSIONS = 3  # of each domain, before the run
FLIP_SECONDS = 0.2
PUBLISH_EVERY = 25  # flips between two publications
SETTLE_SECONDS = 3.0  # until the server has noticed the last cancellations
_TASKS_FILE = "tasks"


@dataclass
class Flipper:
    """Publishes versions and moves `stable` in a thread."""

    store: Store
    base: object
    num_flips: int = 0
    num_published: int = 0
    failures: list[str] = field(default_factory=list)

    def publish(self, domain: str) -> None:
        """Adds a version and makes it stable."""
        self.store.publish(make_publication(self.base, domain, self.num_published), set_stable=True)
        self.num_published += 1

    @contextmanager
    def flipping(self) -> Iterator[None]:
        """Flips during the block."""
        over = threading.Event()
        thread = threading.Thread(target=self._flip_on, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _flip_on(self, over: threading.Event) -> None:
        chance = random.Random(0)  # noqa: S311 - a load, not a secret
        while not over.wait(FLIP_SECONDS):
            domain = chance.choice(DOMAINS)
            try:
                if self.num_flips % PUBLISH_EVERY == PUBLISH_EVERY - 1:
                    self.publish(domain)
                else:
                    self.store.set_alias(domain, "stable", chance.choice(self.store.versions(domain)))
                self.num_flips += 1
            except Exception as error:
                self.failures.append(repr(error))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="2,000 calls, no checks of growth; writes nothing")
    args = parser.parse_args()
    if args.quick:
        args.calls = 2000
    with tempfile.TemporaryDirectory() as folder:
        figures, checks = soak(args, Path(folder))
    print_table(figures, checks)
    if not args.quick:
        write_results(RESULTS / "soak.jsonl", [figures], ("model",))
    return 0 if all(is_met for *_, is_met in checks) else 1


def soak(args: argparse.Namespace, folder: Path):
    base_folder, store_folder = folder / "base", folder / "store"
    base_folder.mkdir()
    store_folder.mkdir()
    make_bert(base_folder)
    flipper = Flipper(Store(str(store_folder)), load_base(str(base_folder)))
    for domain in DOMAINS * VERSIONS:
        flipper.publish(domain)
    os.environ["TASKS_FILE"] = str(folder / _TASKS_FILE)
    command = (sys.executable, str(ROOT / "benchmarks/resilience/soak_server.py"))
    flags = ("--base", base_folder, "--store", store_folder, "--poll-seconds", 0.1, "--device", "cpu", "--threads", 1)
    with serving_process(*flags, command=command) as server:
        calls = SoakCalls(server.target, soak_requests(), args.calls, args.callers)
        began = time.monotonic()
        with flipper.flipping():
            samples = asyncio.run(watched(server, calls))
        seconds = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)
        samples.append(sample(server, 1.0))
        counters = server_counters(server)
    figures = figures_of(args, calls, samples, counters, flipper, seconds)
    return figures, checks_of(calls, samples, counters, flipper.num_flips, flipper.failures)


def soak_requests() -> list[bytes]:
    """Requests with real lists for each domain and fallback policy, and 1% more for an unknown domain."""
    lists = read_nbest_lists([ROOT / "tests/data/librispeech/dev.jsonl.gz"])[:100]
    options = [RescoreOptions(domain=domain, fallback_policy=policy) for domain in DOMAINS for policy in FallbackPolicy]
    requests = [serialised(nbest, each) for nbest in lists for each in options]
    return requests + [serialised(nbest, RescoreOptions(domain="nowhere")) for nbest in lists[: len(requests) // 100]]


def serialised(nbest: NBest, options: RescoreOptions) -> bytes:
    return request_from_nbest(nbest, options).SerializeToString()


async def watched(server: ServingProcess, calls: SoakCalls) -> list[Sample]:
    """Makes the calls and samples the server after every twentieth of them."""
    before = sample(server, 0.0)
    run = asyncio.ensure_future(calls.run())
    samples = [before]
    next_share = 0.05
    while not run.done():
        await asyncio.wait([run], timeout=0.2)
        share = calls.num_over / calls.num_calls
        if share >= next_share:
            samples.append(await asyncio.to_thread(sample, server, share))
            next_share = share + 0.05
            progress(calls, samples[-1])
    await run
    return samples


def sample(server: ServingProcess, share: float) -> Sample:
    return Sample(share, server.rss_mib(), server.num_threads(), num_tasks(server))


def num_tasks(server: ServingProcess) -> int:
    """The server's number of asyncio tasks, including those of running calls."""
    answer = Path(os.environ["TASKS_FILE"])
    answer.unlink(missing_ok=True)
    server.process.send_signal(signal.SIGUSR1)
    give_up_at = time.monotonic() + 30
    while not answer.exists():
        if time.monotonic() > give_up_at:
            sys.exit("the server's event loop did not answer within 30 s")
        time.sleep(0.01)
    return int(answer.read_text())


def server_counters(server: ServingProcess) -> dict[str, float]:
    outcomes = ("rescored", "partial", "first_pass", "error")
    by_outcome = {each: server.total("lorb_rescore_requests_total", outcome=each) for each in outcomes}
    others = ("rescore_abandoned_total", "internal_errors_total", "failed_passes_total", "queue_tokens")
    return by_outcome | {each: server.total(f"lorb_{each}") for each in others}


def figures_of(args, calls: SoakCalls, samples: list[Sample], counters, flipper: Flipper, seconds: float):
    settled, end = settled_of(samples), samples[-1]
    ends = calls.ends.most_common()
    values = [
        ("calls", calls.num_sent, "calls", None, None),
        ("calls_per_second", calls.num_sent / seconds, "calls/s", None, None),
        *((f"client.{name.replace(' ', '.')}", count, "calls", calls.num_sent, "calls") for name, count in ends),
        *((f"server.{name}", value, "count", None, None) for name, value in counters.items()),
        ("flips", flipper.num_flips, "flips", None, None),
        ("published", flipper.num_published, "versions", None, None),
        ("rss_after_a_fifth", settled.rss_mib, "MiB", None, None),
        ("rss_end", end.rss_mib, "MiB", settled.rss_mib, "rss_after_a_fifth"),
        ("threads_after_a_fifth", settled.num_threads, "threads", None, None),
        ("threads_end", end.num_threads, "threads", settled.num_threads, "threads_after_a_fifth"),
        ("tasks_end", end.num_tasks, "tasks", samples[0].num_tasks, "tasks before the first call"),
    ]  # fmt: skip
    named = {
        name: {"value": round(value, 4), "unit": unit}
        | ({} if base is None else {"ratio": round(value / base, 4), "ratio_to": to})
        for name, value, unit, base, to in values
    }
    return {"model": "tiny-bert", "callers": args.callers, "seconds": round(seconds, 1), "figures": named}


def progress(calls: SoakCalls, latest: Sample) -> None:
    server = f"{latest.rss_mib:8.1f} MiB  {latest.num_threads:4} threads  {latest.num_tasks:4} tasks"
    print(f"{calls.num_over:>8} calls  {server}", file=sys.stderr, flush=True)


def print_table(figures, checks) -> None:
    for name, each in figures["figures"].items():
        ratio = f"{each['ratio']:>10.4f} of {each['ratio_to']}" if "ratio" in each else ""
        print(f"{name:44}{each['value']:>12g} {each['unit']:10}{ratio}")
    print()
    for name, found, is_met in checks:
        print(f"{name:46}{found:>24}   {'met' if is_met else 'NOT MET'}")


if __name__ == "__main__":
    sys.exit(main())

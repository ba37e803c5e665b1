"""Publishes 20 valid and 5 corrupt versions and moves `stable` between them, while 8 clients call without pause.

Checks that no call fails, that every answer comes from a version that was stable during the call, and that the reason
of every refusal names the corruption. Prints a table and writes `benchmarks/results/flips_under_load.jsonl`.

    python benchmarks/resilience/flips_under_load.py [--base minilm] [--num-versions 20] [--num-clients 8]
"""

import argparse
import json
import math
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # random publications
import grpc
from corruptions import CORRUPTIONS, DOMAIN, corrupt

from lorb import NBest, RescoreOptions
from lorb.formats import read_nbest_lists
from lorb.v1 import admin_pb2, admin_pb2_grpc
from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.store.adapter import Publication
from lorb_adapters.store.store import Store
from lorb_client import Client
from results_file import RESULTS, ROOT, write_results
from serving_process import serving_process
from support.adapters.publications import golden_list, make_publication
from support.adapters.random_adapters import random_adapter


@dataclass
class History:
    """The times at which versions were stable.

    Attributes:
        flips: (start, end, version) of each flip, in seconds of the monotonic clock. A version may answer from the
            start of its flip until the end of the next one.
    """

    flips: list[tuple[float, float, str]] = field(default_factory=list)

    def may_answer(self, version: str, began: float, ended: float) -> bool:
        """Whether `version` was stable at some time during a call."""
        for i, (flip_began, _, of) in enumerate(self.flips):
            replaced = self.flips[i + 1][1] if i + 1 < len(self.flips) else math.inf
            if of == version and flip_began <= ended and began <= replaced:
                return True
        return False


def publication(base: Base, lists: list[NBest], seed: int) -> Publication:
    """A random adapter, with `lists` and its scores of them as golden lists."""
    weights = random_adapter(base, seed, std=0.02, head_std=0.05)
    golden_lists = tuple(golden_list(base, weights, nbest) for nbest in lists)
    return make_publication(base, DOMAIN, weights=weights, golden_lists=golden_lists)


class Caller(threading.Thread):
    """Calls without pause and records each answer's version and time, and each failure."""

    def __init__(self, target: str, lists: list[NBest], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[str, float, float]] = []
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self._target, self._lists, self._stop_event = target, lists, stop

    def run(self) -> None:
        """Calls until stopped."""
        with Client(self._target) as client:
            i = 0
            while not self._stop_event.is_set():
                began = time.monotonic()
                try:
                    ranked = client.rescore(
                        self._lists[i % len(self._lists)], RescoreOptions(domain=DOMAIN), timeout_seconds=30
                    )
                except Exception as error:
                    self.failures.append(repr(error))
                else:
                    self.answers.append((ranked.adapter.version, began, time.monotonic()))
                    self.outcomes[ranked.outcome.value] += 1
                i += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--num-versions", type=int, default=20)
    parser.add_argument("--num-clients", type=int, default=8)
    args = parser.parse_args()
    lists = read_nbest_lists([ROOT / "tests/data/librispeech/dev.jsonl.gz"])[:40]
    base = load_base(args.base)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"{folder}/store")
        Path(store.url).mkdir()
        figures = run(args, store, base, lists)
    write_results(RESULTS / "flips_under_load.jsonl", [figures], ("base",))
    print(json.dumps(figures, indent=2))
    return 0 if passed(figures) else 1


def passed(figures: dict[str, Any]) -> bool:
    """Whether no call failed, no wrong version answered, and each corrupt version was refused for its reason."""
    refused = figures["refused"]
    reasons_are_right = all(words in refused.get(how, "") for how, words in CORRUPTIONS.items())
    return not (figures["failed_calls"] or figures["answers_from_a_wrong_version"]) and reasons_are_right


def run(args, store, base, lists) -> dict[str, Any]:
    """Flips versions of a server under load; returns the figures."""
    first = store.publish(publication(base, lists[:2], seed=0), set_stable=True)
    history = History([(time.monotonic(), time.monotonic(), first)])
    flags = ("--base", args.base, "--store", store.url, "--poll-seconds", 0.1, "--default-deadline-seconds", 30)
    with serving_process(*flags) as server:
        admin = admin_pb2_grpc.AdapterAdminServiceStub(grpc.insecure_channel(f"127.0.0.1:{server.ports['admin_port']}"))
        stop = threading.Event()
        callers = [Caller(server.target, lists, stop) for _ in range(args.num_clients)]
        began = time.monotonic()
        for caller in callers:
            caller.start()
        offered = flip(args, store, base, lists, admin, history)
        stop.set()
        for caller in callers:
            caller.join()
        seconds = time.monotonic() - began
        listed = {
            each.version: each.reason
            for each in admin.ListAdapters(admin_pb2.ListAdaptersRequest(domain=DOMAIN, page_size=1000)).adapters
            if each.state == admin_pb2.ADAPTER_STATE_REFUSED
        }
        refused = server.total("lorb_adapter_loads_total", result="refused")
    answers = [answer for caller in callers for answer in caller.answers]
    return {
        "base": args.base,
        "clients": args.num_clients,
        "seconds": round(seconds, 1),
        "versions_flipped": args.num_versions,
        "calls": len(answers),
        "failed_calls": sum(len(caller.failures) for caller in callers),
        "outcomes": dict(sum((caller.outcomes for caller in callers), Counter())),
        "versions_that_answered": len({version for version, _, _ in answers}),
        "answers_from_a_wrong_version": sum(not history.may_answer(*answer) for answer in answers),
        "refused": {how: listed.get(version, "NOT REFUSED") for how, version in offered.items()},
        "refused_in_metric": refused,
    }


def flip(args, store, base, lists, admin, history: History) -> dict[str, str]:
    """Publishes and promotes versions, some of them corrupt. Returns the corrupt version of each corruption."""
    offered: dict[str, str] = {}
    pending = list(CORRUPTIONS)
    for i in range(1, args.num_versions + 1):
        version = store.publish(publication(base, lists[:2], seed=i), set_stable=False)
        began = time.monotonic()
        store.set_alias(DOMAIN, "stable", version)
        admin.RefreshRegistry(admin_pb2.RefreshRegistryRequest())
        history.flips.append((began, time.monotonic(), version))
        if pending and i % max(1, args.num_versions // len(CORRUPTIONS)) == 0:
            how = pending.pop(0)
            bad = store.publish(publication(base, lists[:2], seed=1000 + i), set_stable=False)
            corrupt(store, bad, how)
            offered[how] = bad
            store.set_alias(DOMAIN, "stable", bad)
            admin.RefreshRegistry(admin_pb2.RefreshRegistryRequest())
            store.set_alias(DOMAIN, "stable", version)
            admin.RefreshRegistry(admin_pb2.RefreshRegistryRequest())
        time.sleep(0.3)
    return offered


if __name__ == "__main__":
    sys.exit(main())

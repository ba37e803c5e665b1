"""Compares one process, front processes, and whole `lorb-serve` processes on one port.

The model is tiny, so that call handling dominates, as it can on a GPU. The layouts take turns in each round; ratios are
medians of the rounds' ratios to one process. h2load (package nghttp2-client) sends the calls: a caller in Python would
need more of the cores than the server. The CPU time of the busiest process gives the rate that enough cores would
allow. Prints a table and writes `benchmarks/results/fronts.jsonl`.

    python benchmarks/serving/fronts.py [--rounds 3] [--seconds 3]
"""

import argparse
import asyncio
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # the tiny model
import psutil

from lorb.formats import read_nbest_lists
from lorb.ranked import RescoreOptions
from lorb.wire import request_from_nbest
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from lorb_client.calls import CallSettings
from lorb_client.load.call_outcome import Connections, OutcomeKind
from models import BERT_BASE, prepared
from results_file import RESULTS, ROOT, write_results
from serving_process import LORB_SERVE, MIB, ServingProcess, free_port, serving_process
from support.adapters.publications import make_publication
from support.adapters.tiny_bases import make_bert

OUTPUT = RESULTS / "fronts.jsonl"
SHARED_PORT = """
import functools, sys
from lorb_server import app, cli
app.CallServer = functools.partial(app.CallServer, shares_port=True)
cli.main(sys.argv[1:])
"""
FLAGS = ("--device", "cpu", "--threads", 1, "--max-queue-seconds", 60, "--default-deadline-seconds", 60)
HEADERS = ("-H", "te: trailers", "-H", "content-type: application/grpc")
PATH = "/lorb.v1.RescoringService/Rescore"
TOKEN = "0123456789abcdef" * 2
QUOTA_LISTS_PER_SECOND = 20


@dataclass(frozen=True, slots=True)
class Layout:
    """How many processes serve: with `num_whole` above 1, as many servers share one port."""

    name: str
    command: tuple[str, ...] = LORB_SERVE
    num_whole: int = 1
    flags: tuple[object, ...] = ()


class Load(NamedTuple):
    """A closed loop of `streams` callers on each of `connections`."""

    name: str
    connections: int
    streams: int


ONE = Layout("one process")
ONE_FRONT = Layout("1 front", flags=("--front-processes", 1))
TWO_FRONTS = Layout("2 fronts", flags=("--front-processes", 2))
TWO_WHOLE = Layout("2 whole processes", (sys.executable, "-P", "-c", SHARED_PORT), 2)
LAYOUTS = (ONE, ONE_FRONT, TWO_FRONTS, TWO_WHOLE)
FIGURES = (("calls", "calls/s"), ("CPU", "s/call"), ("CPU of the busiest process", "s/call"))
LOADS = (Load("1 connection", 1, 32), Load("8 connections", 8, 4), Load("one caller", 1, 1))


@dataclass(frozen=True, slots=True)
class Record:
    """A median, and the median over rounds of its ratio to the figure `ratio_to`."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_to: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A layout's servers."""

    layout: Layout
    servers: list[ServingProcess]

    def processes(self) -> list[psutil.Process]:
        """All processes that take calls or score."""
        servers = [server.process for server in self.servers]
        children = [child for server in servers for child in server.children()]
        return [*servers, *(child for child in children if "lorb_server.fronts.front" in child.cmdline())]

    def total(self, name: str, **labels: str) -> float:
        """A counter, summed over the servers' metrics pages."""
        return sum(server.total(name, **labels) for server in self.servers)


def start(stack: ExitStack, layout: Layout, *flags: object) -> Running:
    """Starts a layout's servers until the stack ends."""
    port = free_port()
    every = (*FLAGS, *layout.flags, *flags, "--port", port)
    return Running(
        layout,
        [stack.enter_context(serving_process(*every, command=layout.command)) for _ in range(layout.num_whole)],
    )


def send(running: Running, load: Load, body: Path, seconds: float) -> tuple[float, float, float]:
    """Sends calls for `seconds`: (calls/s, CPU seconds of a call in all processes, and in the busiest one).

    Raises SystemExit if calls were not rescored.
    """
    processes = running.processes()
    before = [sum(each.cpu_times()[:2]) for each in processes]
    rescored = running.total("lorb_rescore_requests_total", outcome="rescored")
    size = (f"-c{load.connections}", f"-m{load.streams}", f"-D{seconds}", "-d", str(body))
    command = ["h2load", *size, *HEADERS, f"http://{running.servers[0].target}{PATH}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = [sum(each.cpu_times()[:2]) - past for each, past in zip(processes, before, strict=True)]
    num_calls = running.total("lorb_rescore_requests_total", outcome="rescored") - rescored
    rate = float(re.search(r"finished in [\d.]+s, ([\d.]+) req/s", output)[1])
    if num_calls < 0.98 * rate * seconds:
        sys.exit(f"{running.layout.name}: {num_calls} calls were rescored, but h2load has {rate * seconds:.0f} answers")
    return rate, sum(used) / num_calls, max(used) / num_calls


def rates(args: argparse.Namespace, flags: Sequence[object], body: Path) -> list[Record]:
    """Rate, CPU time, and CPU time of the busiest process, of each layout under each load."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with ExitStack() as stack:
        all_running = [start(stack, layout, *flags, "--score-cache-bytes", 0) for layout in LAYOUTS]
        for running in all_running:
            send(running, LOADS[1], body, 1)
        for _ in range(args.rounds):
            for load in LOADS:
                for running in all_running:
                    rounds = found.setdefault((load.name, running.layout.name), [])
                    rounds.append(send(running, load, body, args.seconds))
    return [
        record(f"{title}, {load}", layout, unit, values, compared)
        for (load, layout), rounds in found.items()
        for (title, unit), values, compared in zip(
            FIGURES, zip(*rounds, strict=True), zip(*found[load, ONE.name], strict=True), strict=True
        )
    ]


def record(title: str, layout: str, unit: str, values: Sequence[float], compared: Sequence[float]) -> Record:
    """A median, with its ratio to one process."""
    value = statistics.median(values)
    if layout == ONE.name:
        return Record(f"{title}, {layout}", value, unit)
    ratio = statistics.median(a / b for a, b in zip(values, compared, strict=True))
    return Record(f"{title}, {layout}", value, unit, ratio, f"{title}, {ONE.name}")


def send_once(running: Running, requests: Sequence[bytes], token: str = "") -> int:
    """Sends each request once over 8 connections, and returns how many were rescored."""

    async def run() -> int:
        connections = Connections(CallSettings(running.servers[0].target, token=token or None), 8)
        await connections.open(10.0)
        outcomes = await asyncio.gather(*(connections.send(each, 60.0) for each in requests))
        await connections.close()
        return sum(outcome.kind is OutcomeKind.RESCORED for outcome in outcomes)

    return asyncio.run(run())


def shared_state(flags: Sequence[object], requests: list[bytes], folder: Path) -> list[Record]:
    """The score cache's hits when each list comes twice, and a caller's lists within a quota."""
    tokens = folder / "tokens"
    tokens.write_text(f"caller:{TOKEN}\n")
    tokens.chmod(0o600)
    records = []
    for layout in (ONE, TWO_FRONTS, TWO_WHOLE):
        with ExitStack() as stack:
            running = start(stack, layout, *flags)
            for _ in range(2):
                send_once(running, requests)
            lookups = running.total("lorb_score_cache_lookups_total")
            hits = running.total("lorb_score_cache_lookups_total", result="hit")
        records.append(Record(f"score cache hits of lists that come twice, {layout.name}", hits / lookups, "share"))
        if layout is TWO_FRONTS:
            continue  # refuses quotas
        with ExitStack() as stack:
            quota = ("--token-file", tokens, "--max-caller-lists-per-second", QUOTA_LISTS_PER_SECOND)
            running = start(stack, layout, *flags, *quota)
            rescored = send_once(running, requests, TOKEN)
        records.append(Record(f"burst within a quota of {QUOTA_LISTS_PER_SECOND}, {layout.name}", rescored, "lists"))
    return records


def memory() -> list[Record]:
    """Memory with a BERT-base of random weights after the warm-up; shared pages count once."""
    model = prepared(BERT_BASE)
    records = []
    for layout in LAYOUTS:
        with ExitStack() as stack:
            running = start(stack, layout, "--base", model.base, "--store", model.store)
            pss = sum(each.memory_full_info().pss for each in running.processes()) / MIB
        records.append(Record(f"memory with BERT-base, {layout.name}", pss, "MiB"))
    return records


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=OUTPUT)
    args = parser.parse_args()
    if shutil.which("h2load") is None:
        parser.error("h2load is missing: install the package nghttp2-client")
    lists = read_nbest_lists([ROOT / "tests/data/librispeech/dev.jsonl.gz"])[:100]
    requests = [request_from_nbest(one, RescoreOptions(domain="voice")).SerializeToString() for one in lists]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base_folder = make_bert(folder / "base")
        (folder / "store").mkdir()
        store = Store(f"{folder}/store")
        store.publish(make_publication(load_base(str(base_folder)), "voice"), set_stable=True)
        flags = ("--base", base_folder, "--store", store.url)
        body = folder / "request"
        typical = sorted(requests, key=len)[len(requests) // 2]
        body.write_bytes(struct.pack("!BI", 0, len(typical)) + typical)
        found = [*shared_state(flags, requests, folder), *memory(), *rates(args, flags, body)]
    write_results(args.results, [asdict(one) for one in found], ("name",))
    for one in found:
        ratio = "" if one.ratio is None else f"  {one.ratio:.2f}"
        print(f"{one.name:70} {one.value:10.4g} {one.unit}{ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

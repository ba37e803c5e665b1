"""Measures front processes: the time to hand a list to the engine, and servers with 0, 1 and 2 fronts.

The model is tiny, so that call handling dominates, as it can on a GPU. Servers take turns in each round with the same
real lists; ratios are medians of the rounds' ratios to the server without fronts. Callers run on the same cores. Prints
a table and writes `benchmarks/results/fronts.jsonl`.

    python benchmarks/serving/fronts.py [--rounds 3] [--seconds 3]
"""

import argparse
import asyncio
import socket
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # the tiny model
from lorb.formats import read_nbest_lists
from lorb.ranked import RescoreOptions
from lorb.wire import request_from_nbest
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from lorb_server.adapter import Route
from lorb_server.call import Call, Scored
from lorb_server.fronts.adapter_codec import AdapterNumbers
from lorb_server.fronts.engine_link import EngineLink
from lorb_server.fronts.engine_state import EngineState
from lorb_server.fronts.front_peer import EngineServices, FrontPeer
from lorb_server.rpc.health import Health
from lorb_server.telemetry.metrics import Metrics
from results_file import RESULTS, ROOT, write_results
from serving_process import closed_loop, serving_process
from support.adapters.publications import make_publication
from support.adapters.tiny_bases import make_bert
from support.servers.stub_model import adapter_handle

OUTPUT = RESULTS / "fronts.jsonl"
FRONTS = (0, 1, 2)
CALLERS = 32
CONNECTIONS = 16  # the kernel distributes them over the fronts
HANDED_OVER = 2000  # lists


@dataclass(frozen=True, slots=True)
class Record:
    """A figure.

    Attributes:
        name: what was measured.
        value, unit: a median.
        ratio, ratio_to: the median over rounds of the ratio to another figure, and its name; or None.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_to: str | None = None


class InstantScoring:
    """Returns zeros at once, so that only the hand-over takes time."""

    def check_admission(self, call, minimum_tokens):
        """Accepts every call."""

    async def score(self, call):
        """Zeros for all hypotheses."""
        return Scored((0.0,) * len(call.hypotheses), 0.0, 0.0)


class OneRoute:
    """Routes every call to one adapter."""

    async def route(self, domain, routing_key):
        """The adapter."""
        return Route(adapter_handle(1))

    def depends_on_key(self, domain):
        """False: there is one adapter."""
        return False

    def served_domains(self):
        """The only domain."""
        return ["voice"]


async def hand_over(rows) -> list[Record]:
    """Times the round trip of a ten-best list to the engine and back, with both ends in this process."""
    state = EngineState(1, is_serving=True, has_served=True)
    metrics = Metrics()
    link = EngineLink(Health(()), metrics)
    peer = FrontPeer(
        EngineServices(InstantScoring(), OneRoute(), AdapterNumbers(), lambda: state, metrics.internal_errors)
    )
    loop = asyncio.get_running_loop()
    for end, connection in zip(socket.socketpair(), (peer.connection, link.connection), strict=True):
        await loop.create_unix_connection(lambda connection=connection: connection, sock=end)
    peer.send_state()
    call = Call(hypotheses=rows, adapter=(await link.route("voice", "")).adapter, answer_by=1e12)
    began = time.perf_counter()
    for _ in range(HANDED_OVER):
        await link.score(call)
    alone = (time.perf_counter() - began) / HANDED_OVER
    began = time.perf_counter()
    for _ in range(HANDED_OVER // CALLERS):
        await asyncio.gather(*(link.score(call) for _ in range(CALLERS)))
    together = (time.perf_counter() - began) / (HANDED_OVER // CALLERS * CALLERS)
    link.connection.close()
    await link.lost
    return [
        Record("hand-over, one list at a time", alone, "s"),
        Record(f"hand-over, {CALLERS} lists at once", together, "s"),
    ]


def measure(args, base_folder: Path, store: Store, requests: list[bytes]) -> list[Record]:
    """Measures servers with 0, 1 and 2 fronts in turn."""
    rates: dict[int, list[float]] = {fronts: [] for fronts in FRONTS}
    medians: dict[int, list[float]] = {fronts: [] for fronts in FRONTS}
    flags = ("--base", base_folder, "--store", store.url, "--device", "cpu", "--threads", 1, "--score-cache-bytes", 0,
             "--max-queue-seconds", 60, "--default-deadline-seconds", 60)  # fmt: skip
    with ExitStack() as stack:
        servers = {
            fronts: stack.enter_context(serving_process(*flags, "--front-processes", fronts)) for fronts in FRONTS
        }
        for server in servers.values():
            closed_loop(server.target, requests, CALLERS, 0.5, CONNECTIONS)
        for _ in range(args.rounds):
            for fronts, server in servers.items():
                many = closed_loop(server.target, requests, CALLERS, args.seconds, CONNECTIONS)
                rates[fronts].append(many.calls_per_second)
                medians[fronts].append(closed_loop(server.target, requests, 1, args.seconds / 2).median_seconds)
    return [*records("calls", "calls/s", rates), *records("p50, one caller", "s", medians)]


def records(name: str, unit: str, values: dict[int, list[float]]) -> list[Record]:
    """A record for each number of fronts, with its ratio to the server without fronts."""
    made = []
    for fronts, each in values.items():
        ratio = statistics.median(a / b for a, b in zip(each, values[0], strict=True)) if fronts else None
        value = statistics.median(each)
        made.append(Record(f"{name}, {fronts} fronts", value, unit, ratio, f"{name}, 0 fronts" if fronts else None))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--results", type=Path, default=OUTPUT)
    args = parser.parse_args()
    lists = read_nbest_lists([ROOT / "tests/data/librispeech/dev.jsonl.gz"])[:100]
    requests = [request_from_nbest(one, RescoreOptions(domain="voice")).SerializeToString() for one in lists]
    with tempfile.TemporaryDirectory() as folder:
        base_folder = make_bert(Path(folder) / "base")
        base = load_base(str(base_folder))
        (Path(folder) / "store").mkdir()
        store = Store(f"{folder}/store")
        publication = make_publication(base, "voice")
        store.publish(publication, set_stable=True)
        texts = [one.transcript for one in lists[0].distinct()]
        rows = base.text_encoder.encode(texts, "", publication.normalization, uses_context=False)
        found = [*asyncio.run(hand_over(rows)), *measure(args, base_folder, store, requests)]
    write_results(args.results, [asdict(record) for record in found], ("name",))
    for record in found:
        ratio = "" if record.ratio is None else f"  {record.ratio:.2f} of {record.ratio_to}"
        print(f"{record.name:32} {record.value:10.4g} {record.unit}{ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

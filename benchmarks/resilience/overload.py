"""Offers a server two and four times its capacity. Each call's deadline is four times the unloaded median latency.

Runs a real `lorb-serve` (shipped base and LibriSpeech adapter, no score cache) on real lists. For each factor it
measures the unloaded median with one caller, the capacity with 12 callers, the overload in an open loop, and the
capacity again. Throughput is compared with both capacities together, because the speed of a shared machine varies.
Targets: every call returns a list, at least 95 % of them within the deadline; hypotheses are rescored in time at 0.8 of
the capacity or more; memory grows by at most 5 %. Prints a table and writes `benchmarks/results/overload.jsonl`.

    python benchmarks/resilience/overload.py [--seconds 60] [--factors 2,4] [--quick] [--dtype float32]
"""

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks

from lorb import RescoreOptions
from lorb.formats import read_nbest_lists
from lorb_client.load.arrivals import Step
from lorb_client.load.report import report
from lorb_client.load.result import LoadResult
from lorb_client.load.run import LoadConfig, run_load
from lorb_client.load.workload import Workload, parse_domains
from results_file import RESULTS, ROOT, write_results
from serving_process import ClosedLoop, ServingProcess, closed_loop, serving_process

OUTPUT = RESULTS / "overload.jsonl"
DOMAINS = parse_domains("librispeech")
DEADLINE_MEDIANS = 4
SAMPLE_SECONDS = 1.0
TARGETS = {"within_deadline": 0.95, "throughput": 0.8, "memory_growth": 0.05}


def main() -> int:
    args = arguments()
    lists = read_nbest_lists([ROOT / "tests/data/librispeech/test.jsonl.gz"])
    mix = Workload.draw(lists, DOMAINS, RescoreOptions(), 10_000, seed=1)
    requests = [mix.requests[draw] for draw in mix.draws]
    flags = ("--score-cache-bytes", 0, "--dtype", args.dtype)
    with serving_process("--store", ROOT / "adapters/store", "--no-admin", *flags) as server:
        closed_loop(server.target, requests, args.callers, args.measure_seconds / 4)  # warms up
        lines, passed = [], True
        for factor in args.factors:
            unloaded = closed_loop(server.target, requests, 1, args.measure_seconds)
            before = closed_loop(server.target, requests, args.callers, args.measure_seconds)
            result, memory = overloaded(server, lists, unloaded, before, factor, args.seconds)
            after = closed_loop(server.target, requests, args.callers, args.measure_seconds)
            print_baseline(unloaded, before, after)
            figures = figures_of(result, memory, unloaded, before + after)
            passed &= print_verdicts(result, figures, factor)
            lines.append(line_of(args, result, figures, factor))
    if not args.quick:
        write_results(OUTPUT, lines, ("dtype", "factor"))
    print("all targets met" if passed else "NOT all targets met")
    return 0 if passed else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="duration of each overload")
    parser.add_argument(
        "--measure-seconds", type=float, default=15.0, help="duration of each measurement before and after"
    )
    parser.add_argument("--callers", type=int, default=12, help="callers that measure the capacity")
    parser.add_argument("--factors", type=lambda text: [float(part) for part in text.split(",")], default=[2.0, 4.0])
    parser.add_argument("--dtype", default="float32", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--quick", action="store_true", help="a smoke test of a few seconds that writes nothing")
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.measure_seconds = 5.0, 3.0
    return args


def overloaded(
    server: ServingProcess, lists, unloaded: ClosedLoop, before: ClosedLoop, factor: float, seconds: float
) -> tuple[LoadResult, list[float]]:
    """Runs the open loop; returns its result and the server's memory in MiB, sampled once a second."""
    config = LoadConfig(
        server.target,
        lists,
        (Step(factor * before.calls_per_second, seconds),),
        deadline_seconds=DEADLINE_MEDIANS * unloaded.median_seconds,
        warm_up_seconds=min(3.0, seconds / 2),
        domains=DOMAINS,
        seed=round(factor),
    )
    with memory_watched(server) as memory:
        result = run_load(config)
    return result, memory


@contextmanager
def memory_watched(server: ServingProcess) -> Iterator[list[float]]:
    samples, over = [], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            samples.append(server.rss_mib())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        over.set()
        watcher.join()
        samples.append(server.rss_mib())


def figures_of(
    result: LoadResult, memory: list[float], unloaded: ClosedLoop, saturated: ClosedLoop
) -> dict[str, dict[str, object]]:
    """The figures by name, with their ratio to another figure if they have one."""
    whole = result.rescored_hypotheses_per_second
    scored = whole + result.partial_hypotheses_per_second
    capacity = saturated.hypotheses_per_second
    without = result.num_sent - result.num_answered
    figures = {
        "unloaded.p50": figure(1000 * unloaded.median_seconds, "ms"),
        "saturated.calls": figure(saturated.calls_per_second, "calls/s"),
        "saturated.hypotheses": figure(capacity, "hypotheses/s"),
        "offered": figure(result.offered_per_second, "calls/s", saturated.calls_per_second, "saturated.calls"),
        "without_answer": figure(without, "calls", result.num_sent, "calls sent"),
        "not_sent": figure(result.num_not_sent, "calls", result.num_due, "calls due"),
        "within_deadline": figure(result.within_deadline, "share"),
        "hypotheses_scored_in_time": figure(scored, "hypotheses/s", capacity, "saturated.hypotheses"),
        "hypotheses_of_whole_lists_in_time": figure(whole, "hypotheses/s", capacity, "saturated.hypotheses"),
        "lateness_p99": figure(result.lateness_ms.p99, "ms", 1000 * result.deadline_seconds, "the deadline"),
    }
    for ending, count in result.endings.items():
        figures[ending.replace(" ", ".")] = figure(count, "calls", result.num_due, "calls due")
    for percentile in ("p50", "p99", "max"):
        figures[f"latency_{percentile}"] = figure(getattr(result.latency_ms, percentile), "ms")
    for when, at in (("start", 0), ("middle", len(memory) // 2), ("end", -1)):
        figures[f"rss_{when}"] = figure(memory[at], "MiB", memory[0], "its start")
    return figures


def figure(value: float, unit: str, base: float | None = None, ratio_to: str | None = None) -> dict[str, object]:
    compared = {} if base is None else {"ratio": round(value / base, 4) if base else 0.0, "ratio_to": ratio_to}
    return {"value": round(value, 4), "unit": unit, **compared}


def print_baseline(unloaded: ClosedLoop, before: ClosedLoop, after: ClosedLoop) -> None:
    print(f"unloaded   p50 {1000 * unloaded.median_seconds:.1f} ms ({len(unloaded.latencies_seconds)} calls)")
    for when, saturated in (("before", before), ("after", after)):
        rates = f"{saturated.hypotheses_per_second:.1f} hypotheses/s, {saturated.calls_per_second:.1f} calls/s"
        print(f"saturated  {rates}, {when} the overload")
    print(flush=True)


def print_verdicts(result: LoadResult, figures, factor: float) -> bool:
    """Prints the load's table and a line for each target; returns whether all are met."""
    print(f"--- offered {factor:g} times the capacity")
    print("\n".join(report(result)), "\n", sep="")
    scored = figures["hypotheses_scored_in_time"]["ratio"]
    whole = figures["hypotheses_of_whole_lists_in_time"]["ratio"]
    growth = figures["rss_end"]["ratio"] - 1
    unfinished = result.num_unfinished + result.num_not_sent
    without = figures["without_answer"]["value"]
    lines = [
        ("calls not sent or not finished", f"{unfinished}", not unfinished),
        ("calls without a list", f"{without:g}", not without),
        (
            "share within the deadline",
            f"{result.within_deadline:.4f}",
            result.within_deadline >= TARGETS["within_deadline"],
        ),
        ("scored in time, share of capacity", f"{scored:.3f}", scored >= TARGETS["throughput"]),
        ("the same, whole lists only", f"{whole:.3f}", whole >= TARGETS["throughput"]),
        ("memory grew by", f"{100 * growth:.1f} %", growth <= TARGETS["memory_growth"]),
    ]
    for name, value, is_met in lines:
        print(f"{name:36}{value:>22}   {'met' if is_met else 'NOT MET'}")
    print(flush=True)
    return all(is_met for *_, is_met in lines)


def line_of(args, result: LoadResult, figures, factor: float) -> dict[str, object]:
    return {
        "model": "rescore-minilm",
        "dtype": result.server["dtype"],
        "factor": factor,
        "seconds": args.seconds,
        "deadline_ms": round(1000 * result.deadline_seconds, 2),
        "figures": figures,
    }


if __name__ == "__main__":
    sys.exit(main())

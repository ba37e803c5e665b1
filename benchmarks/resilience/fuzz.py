"""Fuzzes file readers, calls and adapter loading for a given time, with the strategies of `tests/`.

    python benchmarks/resilience/fuzz.py --minutes 5 [--only files calls versions] [--seed 0]

Each target gets its share of the time: `files` edits the real files of every format and reads them, `calls` sends
edited and arbitrary requests to a running server, `versions` edits a published adapter and loads it. Hypothesis
shrinks a failure, which is printed; the exit status is then 1. Prints a table and writes benchmarks/results/fuzz.jsonl.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from hypothesis import HealthCheck, Phase, given, seed, settings

from lorb_adapters.base.loader import load_base
from lorb_adapters.store.signing import SigningKey, TrustedKeys, create_key_pair
from lorb_adapters.store.store import Store
from results_file import RESULTS, write_results
from support.adapters.publications import make_publication
from support.adapters.tiny_bases import make_bert
from support.faulty_input import fuzzed_calls, fuzzed_files, fuzzed_versions
from support.servers.serving import running_server

EXAMPLES_A_ROUND = 500

Check = Callable[[tuple], str]  # runs a case and returns its outcome


@contextmanager
def files(folder: Path) -> Iterator[tuple[object, Check]]:
    """Fuzzes the readers of N-best files."""
    yield fuzzed_files.cases, lambda case: fuzzed_files.read_edited(folder, *case)


@contextmanager
def calls(folder: Path) -> Iterator[tuple[object, Check]]:
    """Fuzzes a running server, whose scores must not change."""
    store = Store(str(folder / "store"))
    base = make_bert(folder)
    store.publish(make_publication(load_base(str(base)), "voice", seed=1), set_stable=True)
    with running_server(base, folder / "store", allow_pinned_versions=True) as server:

        def scores() -> list[float]:
            return [each.combined_score for each in server.rescore("the cat sat", "the cat sad").hypotheses]

        before = scores()
        yield fuzzed_calls.cases, lambda case: fuzzed_calls.send(server, *case)
        assert scores() == before


@contextmanager
def adapters(folder: Path) -> Iterator[tuple[object, Check]]:
    """Fuzzes the loading of versions, with and without signatures."""
    public, _ = create_key_pair(folder / "key")
    store, base = Store(str(folder / "store")), make_bert(folder)
    publication = make_publication(load_base(str(base)), "voice")
    version = store.publish(publication, set_stable=True, signing_key=SigningKey(folder / "key"))
    fuzzed = fuzzed_versions.FuzzedVersion(store, version, load_base(str(base)), TrustedKeys(public))
    yield fuzzed_versions.cases, lambda case: fuzzed.load_edited(*case)


TARGETS = {"files": files, "calls": calls, "versions": adapters}


def fuzz(name: str, seconds: float, first_seed: int) -> Counter[str]:
    """Fuzzes a target, with a new seed each round; returns numbers of cases by outcome. Raises what a case raises."""
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, TARGETS[name](Path(folder)) as (cases, check):
        for number in itertools.count(first_seed):
            if time.monotonic() > end:
                return outcomes

            @seed(number)
            @settings(
                max_examples=EXAMPLES_A_ROUND,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            )
            @given(cases)
            def one_round(case: tuple) -> None:
                if time.monotonic() < end:
                    outcomes[check(case)] += 1

            one_round()
    raise AssertionError("unreachable: the rounds end by time")


def main() -> int:
    """Runs the targets one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first round")
    parser.add_argument("--only", nargs="+", choices=[*TARGETS], default=[*TARGETS])
    arguments = parser.parse_args()
    lines, failed = [], False
    for name in arguments.only:
        started = time.monotonic()
        try:
            outcomes = fuzz(name, 60 * arguments.minutes / len(arguments.only), arguments.seed)
        except Exception as error:  # hypothesis adds the shrunk case to its notes
            failed = True
            print(f"{name}: FAILED {type(error).__name__}: {error}", *getattr(error, "__notes__", ()), sep="\n")
            lines.append({"target": name, "failed": f"{type(error).__name__}: {error}"[:500]})
            continue
        seconds = time.monotonic() - started
        lines.append({
            "target": name, "cases": outcomes.total(), "seconds": round(seconds, 1),
            "endings": dict(outcomes.most_common()),
        })  # fmt: skip
        print(f"{name:10}{outcomes.total():8} cases in {seconds:6.0f} s  {dict(outcomes.most_common())}", flush=True)
    write_results(RESULTS / "fuzz.jsonl", lines, ("target",))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

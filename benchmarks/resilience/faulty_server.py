"""Runs a `lorb-serve` that returns fingerprints of the texts as scores, and fails in a chosen way.

    python benchmarks/resilience/faulty_server.py FAULT [flags of lorb-serve]

faults.py starts it. SIGUSR1 triggers the fault. SIGUSR2 replaces the scores of real passes with fingerprints; faults.py
sends it once the adapters have reproduced their golden scores.
"""

import signal
import sys
import time
from collections.abc import Sequence

import torch

FAULTS = ("none", "dead-thread", "poison", "out-of-memory", "clock")
POISON_WORD = "arsenic"
JUMP_SECONDS = 3600.0
MEMORY_ROWS = 6  # hypotheses that fit in a pass once the device is short of memory

armed = False
returns_fingerprints = False


def fingerprint_score(token_ids: Sequence[int]) -> float:
    """A fingerprint of a text's tokens, from 0 to 1."""
    mixed = 0
    for token_id in token_ids:
        mixed = (31 * mixed + token_id) % 999_983
    return mixed / 999_983


def _arm(*_: object) -> None:
    global armed
    armed = True


def _return_fingerprints(*_: object) -> None:
    global returns_fingerprints
    returns_fingerprints = True


def _break_clock() -> None:
    """Makes the monotonic clock jump ahead by an hour once armed. Call it before any module reads the clock."""
    true_clock = time.monotonic
    time.monotonic = lambda: true_clock() + (JUMP_SECONDS if armed else 0.0)


def _break_model(fault: str) -> None:
    from lorb_adapters.base.loader import load_base
    from lorb_adapters.model import RescoringModel, ScoresFuture

    launch = RescoringModel.launch
    [poison] = load_base("minilm").text_encoder._tokenize([POISON_WORD])

    def faulty_launch(self, rows, adapters, row_adapters) -> ScoresFuture:
        if armed and fault == "dead-thread":
            raise SystemExit("killed by the benchmark")
        if armed and fault == "out-of-memory" and len(rows) > MEMORY_ROWS:
            raise torch.OutOfMemoryError("no room for this pass")
        if fault == "poison" and any(set(poison) <= set(row.token_ids) for row in rows):
            raise ValueError("a list that the model cannot score")
        pending = launch(self, rows, adapters, row_adapters)
        if not returns_fingerprints:
            return pending
        fingerprints = torch.tensor([fingerprint_score(rows[i].token_ids) for i in pending.order.tolist()])
        return ScoresFuture(fingerprints, pending.order, pending.done)

    RescoringModel.launch = faulty_launch


def main() -> int:
    """Prepares the fault named by the first argument, then serves."""
    fault = sys.argv[1]
    if fault not in FAULTS:
        sys.exit(f"faulty_server: {fault!r} is not a fault: choose one of {', '.join(FAULTS)}")
    signal.signal(signal.SIGUSR1, _arm)
    signal.signal(signal.SIGUSR2, _return_fingerprints)
    if fault == "clock":
        _break_clock()
    _break_model(fault)
    from lorb_server.cli import main as serve

    return serve(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

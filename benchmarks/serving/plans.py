"""The plans of the serving benchmarks: systems, rounds and lists for each model and dtype."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

from checkouts.comparison import QUICK as QUICK_AMOUNT
from checkouts.comparison import Amount
from figures import LORB

OURS = ("floor", "engine", "floor_8192", "engine_8192", "mix_1", "mix_32", "engine_pairs", "engine_pairs_auto")
PEERS = ("peft_padded", "peft_sorted", "cross_encoder")
SERVERS = (LORB, "plain_grpc", "mosec")
FULL_PASSES = ("floor_8192", "engine_8192", "mix_1", "mix_32")
IN_BFLOAT16 = ("floor", "engine", "mix_1", "mix_32", LORB)
FLOAT32, BFLOAT16 = "float32", "bfloat16"


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurements of one model in one dtype.

    Attributes:
        model, dtype: model and dtype of all systems.
        systems: names of the systems, in the order of their turns.
        rounds: number of turns of each system.
        lists: number of lists in each turn.
        latency_seconds: duration of each open loop; 0: no open loop.
    """

    model: str
    dtype: str
    systems: tuple[str, ...]
    rounds: int
    lists: int
    latency_seconds: float = 0.0


QUICK = (
    Plan("minilm", FLOAT32, ("floor", "engine", LORB, "peft_padded"), rounds=5, lists=96),
    Plan("bert-base", FLOAT32, ("floor", "engine", "peft_padded"), rounds=3, lists=32),
)
FULL = (
    Plan("minilm", FLOAT32, (*OURS, *PEERS, *SERVERS), rounds=5, lists=96, latency_seconds=30.0),
    Plan("bert-base", FLOAT32, (*OURS, *PEERS, *SERVERS), rounds=5, lists=40, latency_seconds=30.0),
    Plan("minilm", BFLOAT16, IN_BFLOAT16, rounds=5, lists=96),
    Plan("bert-base", BFLOAT16, IN_BFLOAT16, rounds=3, lists=40),
    # few lists, because with emulated bfloat16 the peers take eight times as long as in float32
    Plan("minilm", BFLOAT16, ("engine", "engine_pairs", *PEERS), rounds=3, lists=16),
    Plan("bert-base", BFLOAT16, ("engine", "engine_pairs", *PEERS), rounds=3, lists=6),
)


def amount_of(arguments: argparse.Namespace) -> Amount:
    """The models, dtypes, rounds and seconds of --against."""
    default = QUICK_AMOUNT if arguments.quick else Amount()
    return replace(
        default,
        models=(arguments.model,) if arguments.model else default.models,
        dtypes=({"fp32": FLOAT32}.get(arguments.dtype, arguments.dtype),) if arguments.dtype else default.dtypes,
        rounds=arguments.rounds or default.rounds,
        seconds=arguments.seconds or default.seconds,
    )


def plans_of(arguments: argparse.Namespace) -> Sequence[Plan]:
    """The plans that the flags select, with the flags' rounds, lists and seconds."""
    given = {
        key: value for key in ("rounds", "lists", "latency_seconds") if (value := getattr(arguments, key)) is not None
    }
    only = arguments.only.split(",") if arguments.only else None
    plans = [
        replace(plan, systems=tuple(name for name in plan.systems if only is None or name in only), **given)
        for plan in (QUICK if arguments.quick else FULL)
        if arguments.model in (None, plan.model) and arguments.dtype in (None, plan.dtype)
    ]
    return [plan for plan in plans if plan.systems]

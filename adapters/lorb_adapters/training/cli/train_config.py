"""Turns the flags of `lorb-train-adapter` into a TrainConfig."""

import argparse
from typing import TYPE_CHECKING

from lorb.errors import InvalidInput

if TYPE_CHECKING:  # torch takes seconds to import
    from lorb_adapters.training.config import TrainConfig


def train_config(args: argparse.Namespace) -> "TrainConfig":
    """Returns the configuration that the flags give. Raises InvalidInput, naming the field, if a value is wrong."""
    from lorb_adapters.lora.config import LoraConfig
    from lorb_adapters.text import TextNormalization
    from lorb_adapters.training.config import LEARNING_RATES, TrainConfig

    rate = LEARNING_RATES[args.method] if args.learning_rate is None else args.learning_rate
    return TrainConfig(
        method=args.method,
        head=args.head,
        lora=LoraConfig(
            args.rank,
            2.0 * args.rank if args.alpha is None else args.alpha,
            _target_modules(args.targets),
            layers=layer_numbers(args.layers),
        ),
        normalization=TextNormalization(not args.keep_case, args.strip_punctuation),
        uses_context=args.context,
        epochs=args.epochs,
        max_steps=args.max_steps,
        lists_per_step=args.lists_per_step,
        hypotheses_per_list=args.hypotheses_per_list,
        uses_references=args.references,
        learning_rate=rate,
        weight_decay=args.weight_decay,
        loss=args.loss,
        distillation_weight=args.distillation_weight,
        teacher=args.teacher,
        correlation_weight=args.correlation_weight,
        correlation_rows=args.correlation_rows,
        dropout=args.dropout,
        r_drop_weight=args.r_drop,
        ema_decay=args.ema,
        evaluations_per_epoch=args.evaluations_per_epoch,
        patience=args.patience,
        precision=args.precision,
        layer_cache=not args.no_layer_cache,
        uses_switching_margin=not args.no_switching_margin,
        seed=args.seed,
    )


def layer_numbers(text: str) -> tuple[int, ...] | None:
    """Reads layer numbers and ranges such as "9-11" or "0,5": returns them ascending, or None for an empty text.

    Raises InvalidInput for any other text.
    """
    if not text:
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or not (last.isdecimal() if dash else not last):
            raise InvalidInput(f"layers is {text!r}: give numbers and ranges, such as 9-11 or 0,5", field="layers")
        numbers |= set(range(int(first), int(last or first) + 1))
    if not numbers:
        raise InvalidInput(f"layers is {text!r}: a range starts with its smaller number", field="layers")
    return tuple(sorted(numbers))


def _target_modules(targets: list[str]) -> tuple[str, ...]:
    """Returns the names of the target modules; "attention" and "feed-forward" are replaced by their modules' names."""
    from lorb_adapters.lora.config import ATTENTION, FEED_FORWARD

    groups = {"attention": ATTENTION, "feed-forward": FEED_FORWARD}
    names = [name for target in targets for name in groups.get(target, (target,))]
    # "dense" stands for all three dense modules, so it replaces their dotted names.
    if {*ATTENTION, *FEED_FORWARD} <= set(names) or "dense" in names:
        names = [name for name in [*names, "dense"] if "." not in name]
    return tuple(dict.fromkeys(names))

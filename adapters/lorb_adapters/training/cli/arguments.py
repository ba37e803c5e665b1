"""The flags of `lorb-train-adapter`, and the configuration that they make."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lorb.errors import InvalidInput
from lorb_cli.command import add_common_arguments
from lorb_cli.nbest_arguments import add_format_arguments

if TYPE_CHECKING:  # torch takes seconds to import
    from lorb_adapters.training.config import TrainConfig

_LAYERS_HELP = "layers to train, from 0, as 9-11 or 0,5; what frozen layers below them give is computed once"
_RATE_HELP = "peak (default: what suits the method: lora, bitfit, adapter 0.001; head, prefix 0.01; full 5e-05)"
_METAVARS: dict[object, str] = {int: "N", float: "X", Path: "PATH"}


class HelpFormatter(argparse.HelpFormatter):
    """Tells defaults that say something: none for a flag that is off and a list that is empty."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        says_nothing = default is None or default is False or default in ("", [], argparse.SUPPRESS)
        if action.help is None or says_nothing:
            return action.help
        told = " ".join(default) if isinstance(default, list) else f"{default:g}" if action.type else default
        return f"{action.help} (default: {told})"

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return _METAVARS.get(action.type, action.dest.upper())


def parser() -> argparse.ArgumentParser:
    """All flags with their defaults."""
    made = argparse.ArgumentParser(
        prog="lorb-train-adapter",
        usage="lorb-train-adapter --domain D --train FILE ... --dev FILE ... --store STORE [option ...]",
        description="Trains a LoRA adapter on N-best lists with references, tunes it on dev, reports, and publishes "
        "it where the server finds it, if dev is better in 95% of paired resamples. Other methods are trained and "
        "measured on the same footing, and publish nothing. A run that was stopped goes on with --resume as if it had "
        "not been. With torchrun --nproc-per-node N --no-python in front, or on GPUs `accelerate launch`, N processes "
        "share the work.",
        epilog="Exit status: 0 published, or done with --dry-run, --output-base or --audit-only; 2 a file or an "
        "argument is wrong; 3 dev did not improve, nothing published; 130 interrupted.",
        formatter_class=HelpFormatter,
    )
    add_common_arguments(made)
    _add_data(made.add_argument_group("data"))
    add_format_arguments(made)
    _add_model(made.add_argument_group("model"))
    _add_losses(made.add_argument_group("losses and regularisers"))
    _add_optimisation(made.add_argument_group("optimisation"))
    _add_run(made.add_argument_group("the run"))
    _add_output(made.add_argument_group("output"))
    return made


def train_config(args: argparse.Namespace) -> "TrainConfig":
    """The configuration that the flags make; raises InvalidInput, naming the field."""
    from lorb_adapters.lora.weights import ATTENTION, FEED_FORWARD, LoraConfig
    from lorb_adapters.text import TextNormalization
    from lorb_adapters.training.config import LEARNING_RATES, TrainConfig

    groups = {"attention": ATTENTION, "feed-forward": FEED_FORWARD}
    targets = [name for target in args.targets for name in groups.get(target, (target,))]
    if {*ATTENTION, *FEED_FORWARD} <= set(targets) or "dense" in targets:  # "dense" is the three by one name
        targets = [name for name in [*targets, "dense"] if "." not in name]
    rate = LEARNING_RATES[args.method] if args.learning_rate is None else args.learning_rate
    return TrainConfig(
        method=args.method,
        head=args.head,
        lora=LoraConfig(
            args.rank,
            2.0 * args.rank if args.alpha is None else args.alpha,
            tuple(dict.fromkeys(targets)),
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
    """Reads "9-11" or "0,5": ascending numbers, or None for an empty text. Raises InvalidInput for anything else."""
    if not text:
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or not (last.isdecimal() if dash else not last):
            raise InvalidInput(f"layers is {text!r}: give numbers and ranges, as 9-11 or 0,5", field="layers")
        numbers |= set(range(int(first), int(last or first) + 1))
    if not numbers:
        raise InvalidInput(f"layers is {text!r}: a range begins with its smaller number", field="layers")
    return tuple(sorted(numbers))


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--domain", required=True, help="name that decoders will ask for: a-z, 0-9, '.', '_', '-'")
    group.add_argument("--train", type=Path, nargs="+", required=True, metavar="FILE", help="lists to learn from")
    group.add_argument(
        "--dev", type=Path, nargs="+", required=True, metavar="FILE", help="lists to tune on and judge by"
    )
    group.add_argument("--test", type=Path, nargs="+", default=[], metavar="FILE", help="lists for the final figure")
    group.add_argument(
        "--ood", type=Path, nargs="+", default=[], metavar="FILE", help="another domain's lists, to see harm"
    )
    group.add_argument(
        "--audit-only", action="store_true", help="tell what is suspicious about the lists, as every run does, and stop"
    )
    group.add_argument("--keep-case", action="store_true", help="do not fold case before the model reads a text")
    group.add_argument("--strip-punctuation", action="store_true", help="hide punctuation from the model")
    group.add_argument("--context", action="store_true", help="read the preceding turn in front of each hypothesis")
    group.add_argument(
        "--references", action="store_true",
        help="learn from the references too, each as one more hypothesis; for long sentences, try it on dev",
    )  # fmt: skip


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--base", default="auto",
        help="minilm, rescore-minilm, a folder, or a hub id; the server must run the same one. auto: what most "
        "adapters in the store are for; minilm where it has none",
    )  # fmt: skip
    group.add_argument(
        "--method", choices=("lora", "full", "head", "bitfit", "adapter", "prefix"), default="lora",
        help="what is trained; lora alone can be published, full makes a base (--output-base)",
    )  # fmt: skip
    group.add_argument("--head", choices=("sum", "mean", "cls"), default="sum", help="how a text's score is read off")
    group.add_argument(
        "--rank", type=int, default=8, help="of LoRA's matrices; width of an adapter's bottleneck; length of a prefix"
    )
    group.add_argument("--alpha", type=float, help="LoRA's alpha (default: twice the rank)")
    group.add_argument(
        "--targets", nargs="+", choices=("query", "key", "value", "dense", "attention", "feed-forward"),
        default=["attention", "feed-forward"], metavar="NAME",
        help="linear layers that LoRA adapts: query, key, value, dense, or a half of the block by its name",
    )  # fmt: skip
    group.add_argument("--layers", default="", metavar="RANGE", help=_LAYERS_HELP)


def _add_losses(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--loss", choices=("mwer", "mwed", "mwer+distill"), default="mwer",
        help="expected word errors; distance from the errors' distribution; or expected errors and the distance from "
        "a teacher's scores",
    )  # fmt: skip
    group.add_argument(
        "--teacher", default="", metavar="NAME", help="the component score in the train lists that the teacher gave"
    )
    group.add_argument(
        "--distillation-weight", type=float, default=1e-4, help="of the distance from the teacher's scores"
    )
    group.add_argument("--correlation-weight", type=float, default=1e-4, help="lambda of the regulariser; 0 is off")
    group.add_argument(
        "--correlation-rows",
        choices=("all", "one-per-list"),
        default="all",
        help="rows that the regulariser reads: a list's hypotheses are near-duplicates",
    )
    group.add_argument(
        "--dropout",
        type=float,
        default=0.0,
        help="probability, on what LoRA's or an adapter's matrices read and on the head's features; each process draws "
        "its own",
    )
    group.add_argument(
        "--r-drop", type=float, default=0.0, metavar="WEIGHT",
        help="of the divergence between the posteriors of two passes with dropout; doubles a step's time",
    )  # fmt: skip
    group.add_argument("--weight-decay", type=float, default=0.01, help="AdamW's, on all that is trained")
    group.add_argument(
        "--ema", type=float, default=0.0, metavar="DECAY", help="evaluate and keep a moving average; 0 is off"
    )


def _add_optimisation(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", type=int, default=3, help="passes over the train lists")
    group.add_argument("--max-steps", type=int, help="stop after so many steps")
    group.add_argument("--lists-per-step", type=int, default=16, help="lists in one step, over all processes")
    group.add_argument("--hypotheses-per-list", type=int, default=5, help="in one step, drawn anew each epoch")
    group.add_argument("--learning-rate", type=float, help=_RATE_HELP)
    group.add_argument("--evaluations-per-epoch", type=int, default=1, help="looks at dev")
    group.add_argument("--patience", type=int, default=3, help="looks without gain before stopping; 0: never stop")
    group.add_argument("--seed", type=int, default=0, help="the same seed gives the same adapter")


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="cpu", help="cpu or cuda")
    group.add_argument("--threads", type=int, default=0, help="of the processor, for each process; 0: all")
    group.add_argument(
        "--precision", choices=("auto", "fp32", "bf16"), default="auto",
        help="of the products; auto: bf16 where the processor has instructions for it",
    )  # fmt: skip
    group.add_argument(
        "--no-layer-cache", action="store_true", help="compute frozen lower layers anew in every step, not once"
    )
    group.add_argument("--run-dir", type=Path, help="where checkpoints are kept (default: runs/DOMAIN)")
    group.add_argument("--checkpoint-seconds", type=float, default=60.0, help="between checkpoints")
    which = group.add_mutually_exclusive_group()
    which.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    which.add_argument("--restart", action="store_true", help="throw away an unfinished run in the folder")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--store", help="where adapters are published: a folder or an fsspec URL")
    group.add_argument("--force", action="store_true", help="publish whatever dev says")
    group.add_argument(
        "--signing-key", type=Path, metavar="KEY", help="sign what is published ('lorb-adapters keygen')"
    )
    group.add_argument("--no-promote", action="store_true", help="publish without pointing `stable` at it")
    group.add_argument("--no-golden-lists", action="store_true", help="leave dev texts out of manifest and reports")
    group.add_argument("--output-base", type=Path, metavar="DIR", help="where method full writes the base it makes")
    group.add_argument(
        "--no-switching-margin",
        action="store_true",
        help="let the highest combined score win, by however little it leads the first pass's best",
    )
    group.add_argument("--report-dir", type=Path, help="write report.md, report.html and report.json here")
    group.add_argument("--dry-run", action="store_true", help="train and report, publish nothing")
    group.add_argument("--quiet", action="store_true", help="no progress")

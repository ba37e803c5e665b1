"""The flags of `lorb-train-adapter`."""

import argparse
from pathlib import Path

from lorb_cli.command import add_common_arguments
from lorb_cli.nbest_arguments import add_format_arguments

_METAVARS: dict[object, str] = {int: "N", float: "X", Path: "PATH"}


class HelpFormatter(argparse.HelpFormatter):
    """Shows the default of each flag, unless the default is empty or the flag is off by default."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        is_empty = default is None or default is False or default in ("", [], argparse.SUPPRESS)
        if action.help is None or is_empty:
            return action.help
        shown = " ".join(default) if isinstance(default, list) else f"{default:g}" if action.type else default
        return f"{action.help} (default: {shown})"

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return _METAVARS.get(action.type, action.dest.upper())


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="lorb-train-adapter",
        usage="lorb-train-adapter --domain D --train FILE ... --dev FILE ... --store STORE [option ...]",
        description="Trains a LoRA adapter on N-best lists with references, tunes it on dev and writes a report. "
        "Publishes it in the store if cross-fitted dev improves in 95% of paired resamples; a server reading the store "
        "then serves it. Methods other than lora are trained and measured in the same way, but their results are not "
        "published. "
        "An interrupted run continues with --resume and gives the same result. To share the work between N processes, "
        "put `torchrun --nproc-per-node N --no-python` in front of the command, or on GPUs `accelerate launch`.",
        epilog="Exit status: 0 published, or done with --dry-run, --output-base or --audit-only; 2 a file or an "
        "argument is wrong; 3 dev did not improve, and nothing was published; 130 interrupted.",
        formatter_class=HelpFormatter,
    )
    add_common_arguments(parser)
    _add_data(parser.add_argument_group("data"))
    add_format_arguments(parser)
    _add_model(parser.add_argument_group("model"))
    _add_losses(parser.add_argument_group("losses and regularisers"))
    _add_optimisation(parser.add_argument_group("optimisation"))
    _add_run(parser.add_argument_group("run"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--domain", required=True, help="name of the domain, as requests to the server give it: a-z, 0-9, '.', '_', '-'"
    )
    group.add_argument("--train", type=Path, nargs="+", required=True, metavar="FILE", help="lists to train on")
    group.add_argument(
        "--dev",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="lists to tune on and to decide on publishing",
    )
    group.add_argument("--test", type=Path, nargs="+", default=[], metavar="FILE", help="lists for the final figures")
    group.add_argument(
        "--ood", type=Path, nargs="+", default=[], metavar="FILE", help="lists of another domain, to measure harm in it"
    )
    group.add_argument(
        "--audit-only", action="store_true",
        help="report suspicious lists and exit; every other run reports them too, before it trains",
    )  # fmt: skip
    group.add_argument("--keep-case", action="store_true", help="do not lowercase texts for the model")
    group.add_argument("--strip-punctuation", action="store_true", help="remove punctuation from texts for the model")
    group.add_argument("--context", action="store_true", help="read the preceding turn in front of each hypothesis")
    group.add_argument(
        "--references", action="store_true",
        help="train on each reference too, as one more hypothesis; may help on long sentences: compare on dev",
    )  # fmt: skip


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--base", default="auto",
        help="minilm, rescore-minilm, a folder or a hub id; the server must run the same base. auto: the base of most "
        "adapters in the store, or minilm if the store has no adapters",
    )  # fmt: skip
    group.add_argument(
        "--method", choices=("lora", "full", "head", "bitfit", "adapter", "prefix"), default="lora",
        help="what is trained; only lora makes an adapter that can be published; full makes a base (--output-base)",
    )  # fmt: skip
    group.add_argument(
        "--head", choices=("sum", "mean", "cls"), default="sum",
        help="score of a text: sum or mean of the scores of its tokens, or cls: a score computed from the first token",
    )  # fmt: skip
    group.add_argument(
        "--rank", type=int, default=8,
        help="rank for --method lora, bottleneck width for adapter, prefix length for prefix",
    )  # fmt: skip
    group.add_argument("--alpha", type=float, help="LoRA's alpha (default: twice the rank)")
    group.add_argument(
        "--targets", nargs="+", choices=("query", "key", "value", "dense", "attention", "feed-forward"),
        default=["attention", "feed-forward"], metavar="NAME",
        help="linear modules that LoRA adapts: query, key, value, dense (all dense modules), attention (all modules of "
        "attention), feed-forward (both modules of the feed-forward network)",
    )  # fmt: skip
    group.add_argument(
        "--layers", default="", metavar="RANGE",
        help="layers to train, numbered from 0, such as 9-11 or 0,5; the frozen layers below them are computed once "
        "(default: all)",
    )  # fmt: skip


def _add_losses(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--loss", choices=("mwer", "mwed", "mwer+distill"), default="mwer",
        help="mwer: expected word errors; mwed: KL divergence between two distributions over the hypotheses of a list, "
        "one made from the word errors and one from the scores; mwer+distill: mwer plus the squared distance from a "
        "teacher's scores",
    )  # fmt: skip
    group.add_argument(
        "--teacher",
        default="",
        metavar="NAME",
        help="name of the component score of the train lists that holds the teacher's scores",
    )
    group.add_argument(
        "--distillation-weight", type=float, default=1e-4,
        help="weight of the squared distance from the teacher's scores",
    )  # fmt: skip
    group.add_argument(
        "--correlation-weight", type=float, default=1e-4, help="weight (lambda) of the correlation penalty; 0: off"
    )
    group.add_argument(
        "--correlation-rows", choices=("all", "one-per-list"), default="all",
        help="hypotheses in the correlation penalty; one-per-list takes only the first pass's best, because the "
        "hypotheses of a list are near-duplicates",
    )  # fmt: skip
    group.add_argument(
        "--dropout", type=float, default=0.0,
        help="dropout probability, on the input of the head and of each LoRA module or bottleneck; each process draws "
        "its own masks",
    )  # fmt: skip
    group.add_argument(
        "--r-drop", type=float, default=0.0, metavar="WEIGHT",
        help="weight of the divergence between two forward passes with different dropout; doubles the time of a step",
    )  # fmt: skip
    group.add_argument(
        "--weight-decay", type=float, default=0.01, help="weight decay of AdamW, on all but biases and LayerNorms"
    )
    group.add_argument(
        "--ema", type=float, default=0.0, metavar="DECAY",
        help="decay of a moving average of the parameters, which is then evaluated and published; 0: no average",
    )  # fmt: skip


def _add_optimisation(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", type=int, default=3, help="passes over the train lists")
    group.add_argument("--max-steps", type=int, help="stop after this number of steps")
    group.add_argument("--lists-per-step", type=int, default=16, help="lists in one step, over all processes")
    group.add_argument(
        "--hypotheses-per-list", type=int, default=5,
        help="hypotheses of each list in a step: the first pass's best, and others drawn again in each epoch",
    )  # fmt: skip
    group.add_argument(
        "--learning-rate", type=float,
        help="peak learning rate (default: 0.001 for lora, bitfit and adapter; 0.01 for head and prefix; 5e-05 for "
        "full)",
    )  # fmt: skip
    group.add_argument("--evaluations-per-epoch", type=int, default=1, help="evaluations on dev in each epoch")
    group.add_argument(
        "--patience", type=int, default=3,
        help="evaluations without improvement after which training stops; 0: never stop early",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="equal seeds give equal adapters")


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="auto", help="cpu, cuda, cuda:N, or auto: a GPU if there is one")
    group.add_argument(
        "--threads", type=int, default=0,
        help="CPU threads of each process; 0: the cores that it may use (affinity, container limit, OMP_NUM_THREADS)",
    )  # fmt: skip
    group.add_argument(
        "--nice", type=int, default=10,
        help="priority of the process, from 0 (that of other programs) to 19 (lowest): above 0, a server on the same "
        "cores computes first, and training takes the time that it leaves",
    )  # fmt: skip
    group.add_argument(
        "--precision", choices=("auto", "fp32", "bf16"), default="auto",
        help="precision of matrix products; auto: bf16 if the processor has instructions for it",
    )  # fmt: skip
    group.add_argument(
        "--no-layer-cache", action="store_true", help="compute the frozen lower layers in every step instead of once"
    )
    group.add_argument(
        "--run-dir", type=Path, help="folder for the checkpoint and the cached hidden states (default: runs/DOMAIN)"
    )
    group.add_argument("--checkpoint-seconds", type=float, default=60.0, help="seconds between checkpoints")
    start = group.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="continue from the run's last checkpoint")
    start.add_argument("--restart", action="store_true", help="discard an unfinished or unpublished run in the folder")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--store", help="where adapters are published: a folder or an fsspec URL")
    group.add_argument("--force", action="store_true", help="publish even if dev does not improve")
    group.add_argument(
        "--signing-key",
        type=Path,
        metavar="KEY",
        help="sign the published version with this key, which 'lorb-adapters keygen' creates",
    )
    group.add_argument(
        "--no-promote", action="store_true", help="publish without pointing the alias `stable` at the version"
    )
    group.add_argument("--no-golden-lists", action="store_true", help="keep dev texts out of manifest and reports")
    group.add_argument("--output-base", type=Path, metavar="DIR", help="folder in which --method full writes its base")
    group.add_argument(
        "--no-switching-margin", action="store_true",
        help="rank the highest combined score first, however small its lead over the first pass's best",
    )  # fmt: skip
    group.add_argument("--report-dir", type=Path, help="write report.md, report.html and report.json here")
    group.add_argument("--dry-run", action="store_true", help="train and report, but publish nothing")
    group.add_argument("--quiet", action="store_true", help="show no progress")

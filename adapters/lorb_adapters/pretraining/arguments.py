"""The flags of `lorb-build-base`."""

import argparse
from pathlib import Path

from lorb_adapters.training.cli.arguments import HelpFormatter
from lorb_cli.command import add_common_arguments
from lorb_cli.nbest_arguments import add_format_arguments


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="lorb-build-base",
        usage="lorb-build-base --text FILE ... --output-base DIR [option ...]",
        description="Trains an encoder with a score head on plain text, and writes it as a base: a folder for --base "
        "of lorb-train-adapter and lorb-serve. The model learns to detect the wrong words of corrupted sentences, or "
        "to predict the likelihoods that a masked language model gives. Adapters trained on the original encoder do "
        "not fit the new base. An interrupted run continues with --resume and gives the same result.",
        epilog="Exit status: 0 the base is written; 2 a file or an argument is wrong; 130 interrupted.",
        formatter_class=HelpFormatter,
    )
    add_common_arguments(parser)
    _add_data(parser.add_argument_group("data"))
    add_format_arguments(parser)
    training = parser.add_argument_group("training")
    _add_objective(training)
    _add_budgets(training)
    _add_optimisation(training)
    _add_run(parser.add_argument_group("run"))
    output = parser.add_argument_group("output")
    output.add_argument("--output-base", type=Path, required=True, metavar="DIR", help="the new folder to write")
    output.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--text", type=Path, nargs="+", required=True, metavar="FILE", help="one sentence per line, plain or gzip"
    )
    group.add_argument(
        "--confusions", type=Path, nargs="+", default=[], metavar="LISTS",
        help="a recogniser's lists with references. Sentences are corrupted with the word errors found in these "
        "lists. The references are added to the text. With pll, the teacher also scores hypotheses of these lists",
    )  # fmt: skip
    group.add_argument(
        "--dev", type=Path, nargs="+", default=[], metavar="LISTS",
        help="lists with references to measure the result on; nothing is trained on them",
    )  # fmt: skip
    group.add_argument("--keep-case", action="store_true", help="do not lowercase texts for the model")
    group.add_argument("--strip-punctuation", action="store_true", help="remove punctuation from texts for the model")
    group.add_argument("--min-words", type=int, default=3, help="leave out sentences with fewer words")
    group.add_argument("--max-words", type=int, default=50, help="leave out sentences with more words")


def _add_objective(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--base", default="minilm", help="the encoder to start from: a folder, a hub id, or minilm")
    group.add_argument(
        "--objective", choices=("replaced", "pll"), default="replaced",
        help="replaced: detect wrong words of corrupted sentences; pll: train a masked LM and distil its "
        "pseudo-log-likelihoods into the head, as RescoreBERT does",
    )  # fmt: skip
    group.add_argument(
        "--head", choices=("sum", "cls"), default="sum",
        help="how a text is scored. sum: by the sum of its tokens' scores; cls: by its first token (pll only)",
    )  # fmt: skip
    group.add_argument(
        "--layers",
        type=int,
        help="keep only this number of lowest layers, for a smaller and faster base (default: all)",
    )


def _add_budgets(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--sentences", type=int, default=400_000,
        help="number of sentences to train on; a shorter text is read again. With pll, this is the number for "
        "masked-LM training; give 0 if the base has a masked-LM head trained on similar text",
    )  # fmt: skip
    group.add_argument("--sentences-per-step", type=int, default=64, help="sentences in one optimiser step")
    group.add_argument("--corrupted-share", type=float, default=0.125, help="mean share of words to corrupt")
    group.add_argument(
        "--confusion-share", type=float, default=0.5,
        help="share of corruptions drawn from --confusions, for words with a known confusion",
    )  # fmt: skip
    group.add_argument("--masked-share", type=float, default=0.15, help="share of tokens to predict (pll)")
    group.add_argument(
        "--teacher-sentences", type=int, default=40_000,
        help="sentences that the teacher scores; it reads a sentence of n tokens n times (pll)",
    )  # fmt: skip
    group.add_argument(
        "--hypothesis-share", type=float, default=0.5,
        help="share of the teacher's sentences that are hypotheses of --confusions; the rest is corrupted text (pll)",
    )  # fmt: skip
    group.add_argument(
        "--distillation-sentences", type=int, default=120_000,
        help="sentences to read in distillation; the teacher's sentences are read again if there are fewer (pll)",
    )  # fmt: skip


def _add_optimisation(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--freeze-embeddings", action="store_true", help="do not train the embeddings")
    group.add_argument("--learning-rate", type=float, default=3e-4, help="peak learning rate of each stage")
    group.add_argument(
        "--weight-decay", type=float, default=0.01, help="weight decay of AdamW, on all but biases and LayerNorms"
    )
    group.add_argument("--seed", type=int, default=0, help="equal seeds give equal bases")


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="auto", help="cpu, cuda, cuda:N, or auto: a GPU if there is one")
    group.add_argument("--threads", type=int, default=0, help="CPU threads; 0: the cores that the command may use")
    group.add_argument(
        "--precision", choices=("auto", "fp32", "bf16"), default="auto",
        help="precision of matrix products; auto: bf16 if the processor has instructions for it",
    )  # fmt: skip
    group.add_argument(
        "--run-dir", type=Path, help="folder for the run's text and checkpoint (default: runs/ and the new base's name)"
    )
    group.add_argument("--checkpoint-seconds", type=float, default=60.0, help="seconds between checkpoints")
    start = group.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    start.add_argument("--restart", action="store_true", help="discard an unfinished run in the folder")

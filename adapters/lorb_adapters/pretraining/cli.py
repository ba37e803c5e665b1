"""`lorb-build-base`: makes a base that judges text, from any BERT-family encoder and a text."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorb_adapters.base.new_folder import check_can_be_made, check_free
from lorb_adapters.training.cli.arguments import HelpFormatter
from lorb_adapters.training.cli.exit_status import exit_status
from lorb_adapters.training.cli.train_adapter import check_machine
from lorb_cli.command import add_common_arguments
from lorb_cli.nbest_arguments import add_format_arguments, format_options

if TYPE_CHECKING:  # torch takes seconds to import
    from lorb_adapters.pretraining.build import Built
    from lorb_adapters.pretraining.config import BuildConfig

_PROGRAM = "lorb-build-base"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status.

    0: the base is written. 2: a value or a file is wrong. 130: interrupted.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(arguments)
    return exit_status(
        _PROGRAM,
        lambda: _build(args, f"{_PROGRAM} {shlex.join(arguments)}"),
        lost="no base was written",
        folder=_run_folder(args),
    )


def _build(args: argparse.Namespace, command: str) -> int:
    config = _config(args)
    check_machine(args)
    check_can_be_made(args.output_base, "output-base")
    import torch

    from lorb_adapters.base.loader import load_base
    from lorb_adapters.pretraining.build import build
    from lorb_adapters.pretraining.corpus.files import BuildFiles
    from lorb_adapters.process_memory import keep_freed_pages
    from lorb_adapters.training.progress import TrainingProgress
    from lorb_adapters.training.run import RESTART, RESUME, START, Keeping

    check_free(args.output_base)
    keep_freed_pages()
    if args.threads:
        torch.set_num_threads(args.threads)
    built = build(
        load_base(args.base, device=args.device),
        BuildFiles(tuple(args.text), tuple(args.confusions), tuple(args.dev), args.format, format_options(args)),
        config,
        TrainingProgress(quiet=args.quiet),
        Keeping(
            _run_folder(args), RESUME if args.resume else RESTART if args.restart else START, args.checkpoint_seconds
        ),
        command,
    )
    return _conclude(args, built)


def _conclude(args: argparse.Namespace, built: "Built") -> int:
    """Writes the base with its report; the run's folder says so."""
    from lorb_adapters.base.writer import write_base
    from lorb_adapters.training.run_folder import FINISHED

    report = built.report
    outcome = f"wrote a base: use it with --base {args.output_base} in trainer and server"
    with built.folder as folder:
        texts = {"report.md": report.to_markdown(), "report.json": report.to_json()}
        write_base(args.output_base, built.learner.base, built.learner.head, texts)
        folder.end(FINISHED, outcome)
    print(report.to_markdown())
    print(outcome)
    return 0


def _config(args: argparse.Namespace) -> "BuildConfig":
    from lorb_adapters.pretraining.config import BuildConfig
    from lorb_adapters.text import TextNormalization

    return BuildConfig(
        objective=args.objective,
        head=args.head,
        normalization=TextNormalization(not args.keep_case, args.strip_punctuation),
        min_words=args.min_words,
        max_words=args.max_words,
        num_sentences=args.sentences,
        sentences_per_step=args.sentences_per_step,
        num_layers=args.layers,
        corrupted_share=args.corrupted_share,
        confusion_share=args.confusion_share,
        masked_share=args.masked_share,
        num_teacher_sentences=args.teacher_sentences,
        hypothesis_share=args.hypothesis_share,
        num_distillation_sentences=args.distillation_sentences,
        freezes_embeddings=args.freeze_embeddings,
        learning_rate=args.learning_rate,
        weight_decay=args.weight_decay,
        precision=args.precision,
        seed=args.seed,
    )


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} --text FILE ... --output-base DIR [option ...]",
        description="Trains all of an encoder and a score head to judge text, by the wrong words of corrupted "
        "sentences or by a masked language model's likelihoods, and writes a base: a folder for --base of "
        "lorb-train-adapter and lorb-serve. Adapters of the encoder that it was made from do not fit it. A run that "
        "was stopped goes on with --resume as if it had not been.",
        epilog="Exit status: 0 the base is written; 2 a file or an argument is wrong; 130 interrupted.",
        formatter_class=HelpFormatter,
    )
    add_common_arguments(made)
    data = made.add_argument_group("data")
    data.add_argument(
        "--text", type=Path, nargs="+", required=True, metavar="FILE", help="a sentence a line; may be gzip"
    )
    data.add_argument(
        "--confusions", type=Path, nargs="+", default=[], metavar="LISTS",
        help="training lists with references: sentences are corrupted as their recogniser errs too, the references "
        "join the text, and the hypotheses the teacher's sentences",
    )  # fmt: skip
    data.add_argument(
        "--dev", type=Path, nargs="+", default=[], metavar="LISTS",
        help="lists to measure the result on; nothing of them is trained on",
    )  # fmt: skip
    data.add_argument("--keep-case", action="store_true", help="do not fold case before the model reads a text")
    data.add_argument("--strip-punctuation", action="store_true", help="hide punctuation from the model")
    data.add_argument("--min-words", type=int, default=3, help="shorter sentences are left out")
    data.add_argument("--max-words", type=int, default=50, help="longer sentences are left out")
    add_format_arguments(made)
    training = made.add_argument_group("training")
    training.add_argument("--base", default="minilm", help="what to begin with: folder, hub id, or minilm")
    training.add_argument(
        "--objective", choices=("replaced", "pll"), default="replaced",
        help="replaced: tell the wrong words of corrupted sentences; pll: learn to fill in masked tokens, compute "
        "pseudo-log-likelihoods, and distil them into the head, as RescoreBERT does",
    )  # fmt: skip
    training.add_argument(
        "--head", choices=("sum", "cls"), default="sum",
        help="sum: a score a token, added up; cls: one score a sentence, for pll alone",
    )  # fmt: skip
    training.add_argument(
        "--layers", type=int, help="of the encoder to keep, the lowest, for a smaller and faster base (default: all)"
    )
    training.add_argument(
        "--sentences", type=int, default=400_000,
        help="to read, drawn from all of the text; more than it has are further passes. With pll, to fill in masked "
        "tokens of: 0 for a base with a masked-LM head that knows such text",
    )  # fmt: skip
    training.add_argument("--sentences-per-step", type=int, default=64, help="in one step of the optimiser")
    training.add_argument("--corrupted-share", type=float, default=0.125, help="of all words")
    training.add_argument(
        "--confusion-share", type=float, default=0.5, help="of the corruptions, where --confusions know one"
    )
    training.add_argument("--masked-share", type=float, default=0.15, help="of the tokens; pll")
    training.add_argument(
        "--teacher-sentences", type=int, default=40_000,
        help="whose likelihood the teacher computes, reading each as often as it has tokens; pll",
    )  # fmt: skip
    training.add_argument(
        "--hypothesis-share", type=float, default=0.5,
        help="of the teacher's sentences, hypotheses of --confusions; the rest is corrupted text; pll",
    )  # fmt: skip
    training.add_argument(
        "--distillation-sentences", type=int, default=120_000,
        help="to read in distillation; more than the teacher's are further passes; pll",
    )  # fmt: skip
    training.add_argument("--freeze-embeddings", action="store_true", help="train the layers above them alone")
    training.add_argument("--learning-rate", type=float, default=3e-4, help="peak")
    training.add_argument("--weight-decay", type=float, default=0.01, help="AdamW's")
    training.add_argument("--seed", type=int, default=0, help="the same seed gives the same base")
    run = made.add_argument_group("the run")
    run.add_argument("--device", default="cpu", help="cpu or cuda")
    run.add_argument("--threads", type=int, default=0, help="of the processor; 0: all")
    run.add_argument(
        "--precision", choices=("auto", "fp32", "bf16"), default="auto",
        help="of the products; auto: bf16 where the processor has instructions for it",
    )  # fmt: skip
    run.add_argument(
        "--run-dir", type=Path, help="where the text and checkpoints are kept (default: runs/NAME of the base)"
    )
    run.add_argument("--checkpoint-seconds", type=float, default=60.0, help="between checkpoints")
    which = run.add_mutually_exclusive_group()
    which.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    which.add_argument("--restart", action="store_true", help="throw away an unfinished run in the folder")
    output = made.add_argument_group("output")
    output.add_argument("--output-base", type=Path, required=True, metavar="DIR", help="the new folder to write")
    output.add_argument("--quiet", action="store_true", help="no progress")
    return made


def _run_folder(args: argparse.Namespace) -> Path:
    folder: Path = args.run_dir or Path("runs") / args.output_base.name
    return folder


if __name__ == "__main__":
    sys.exit(main())

"""`lorb-build-base`: trains a base with a score head from a BERT-family encoder and a text."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorb_adapters.base.writer import check_can_be_created, check_is_unused
from lorb_adapters.pretraining.arguments import parser
from lorb_adapters.training.cli.checks import check_numbers, choose_device
from lorb_adapters.training.cli.exit_status import exit_status
from lorb_cli.nbest_arguments import format_options

if TYPE_CHECKING:  # torch takes seconds to import, which --help and wrong flags need not wait for
    from lorb_adapters.pretraining.build import BuildResult
    from lorb_adapters.pretraining.config import BuildConfig

_PROGRAM = "lorb-build-base"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 for success, 2 for a wrong value or file, 130 for an interrupt."""
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
    check_numbers(args)
    _limit_spinning()
    device = choose_device(args.device)
    check_can_be_created(args.output_base, "output-base")
    import torch

    from lorb_adapters.base.loader import load_base
    from lorb_adapters.pretraining.build import build
    from lorb_adapters.pretraining.corpus.files import BuildFiles
    from lorb_adapters.process_memory import keep_freed_pages
    from lorb_adapters.threads import default_threads
    from lorb_adapters.training.progress import TrainingProgress
    from lorb_adapters.training.run_folder import RESTART, RESUME, START, CheckpointOptions

    check_is_unused(args.output_base)
    keep_freed_pages()
    torch.set_num_threads(args.threads or default_threads())
    start_mode = RESUME if args.resume else RESTART if args.restart else START
    base = load_base(args.base, device=device)
    # Subnormal numbers would make CPU computations several times slower. Not before the base's weights were hashed.
    torch.set_flush_denormal(True)
    try:
        result = build(
            base,
            BuildFiles(tuple(args.text), tuple(args.confusions), tuple(args.dev), args.format, format_options(args)),
            config,
            TrainingProgress(quiet=args.quiet),
            CheckpointOptions(_run_folder(args), start_mode, args.checkpoint_seconds),
            command,
        )
    finally:
        torch.set_flush_denormal(False)
    return _finish(args, result)


def _limit_spinning() -> None:
    """Makes OpenMP's threads sleep soon in barriers; call it before torch is imported.

    Spinning for long, they leave a neighbour on the same cores no time to finish, and take a tenth of their own speed.
    """
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = "1000"


def _finish(args: argparse.Namespace, result: "BuildResult") -> int:
    """Writes the base with its report, and records the outcome in the run's folder."""
    from lorb_adapters.base.writer import write_base
    from lorb_adapters.training.run_folder import FINISHED

    markdown = result.report.to_markdown()
    outcome = f"wrote a base: use it with --base {args.output_base} in trainer and server"
    with result.folder as folder:
        texts = {"report.md": markdown, "report.json": result.report.to_json()}
        write_base(args.output_base, result.model.base, result.model.head, texts)
        folder.end(FINISHED, outcome)
    print(markdown)
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


def _run_folder(args: argparse.Namespace) -> Path:
    folder: Path = args.run_dir or Path("runs") / args.output_base.name
    return folder


if __name__ == "__main__":
    sys.exit(main())

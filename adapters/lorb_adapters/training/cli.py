"""`lorb-train-adapter`: makes an adapter from a domain's lists, proves that it helps, and publishes it."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from lorb.errors import LorbError, NotPublished
from lorb.formats.arguments import add_format_arguments, format_options
from lorb.names import check_name

_USAGE_ERROR, _NOT_PUBLISHED, _INTERRUPTED = 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status.

    0: published (or trained, with --dry-run). 2: a value or a file is wrong. 3: dev did not improve. 130: interrupted.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        return _train(args, f"{parser.prog} {shlex.join(arguments)}")
    except NotPublished as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return _NOT_PUBLISHED
    except LorbError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted, nothing was published", file=sys.stderr)
        return _INTERRUPTED


def _train(args: argparse.Namespace, command: str) -> int:
    import torch  # here, so that --help and a mistyped flag answer at once

    from lorb_adapters.base import load_base
    from lorb_adapters.memory import keep_freed_pages
    from lorb_adapters.store import Store
    from lorb_adapters.training.progress import TrainingProgress
    from lorb_adapters.training.run import publish, run

    domain = check_name(args.domain, "domain")
    store = Store(args.store)
    config, files = _config(args), _files(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_freed_pages()
    base = load_base(args.base, device=args.device)
    progress = TrainingProgress(quiet=args.quiet)
    finished = run(domain, base, files, config, progress, command=command, golden_lists=not args.no_golden_lists)
    print(finished.report.to_markdown())
    if args.report_dir:
        _write_report(args.report_dir, finished.report.to_markdown(), finished.report.to_json())
    if args.dry_run:
        return 0
    version = publish(finished, store, force=args.force, promote=not args.no_promote)
    print(f"published {domain}@{version} in {args.store}" + ("" if args.no_promote else ", now stable"))
    return 0


def _write_report(folder: Path, markdown: str, json_text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("report.md", markdown), ("report.json", json_text)):
        partial = folder / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, folder / name)


def _config(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # noqa: ANN202 - imported late
    from lorb_adapters.lora import LoraConfig
    from lorb_adapters.text import TextNormalization
    from lorb_adapters.training.config import TrainConfig

    return TrainConfig(
        head=args.head,
        lora=LoraConfig(args.rank, args.alpha or 2.0 * args.rank, tuple(args.targets)),
        normalization=TextNormalization(not args.keep_case, args.strip_punctuation),
        uses_context=args.context,
        epochs=args.epochs,
        max_steps=args.max_steps,
        lists_per_step=args.lists_per_step,
        hypotheses_per_list=args.hypotheses_per_list,
        uses_references=args.references,
        learning_rate=args.learning_rate,
        correlation_weight=args.correlation_weight,
        evaluations_per_epoch=args.evaluations_per_epoch,
        patience=args.patience,
        seed=args.seed,
    )


def _files(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # noqa: ANN202 - imported late
    from lorb_adapters.training.data import DataFiles

    return DataFiles(
        tuple(args.train), tuple(args.dev), tuple(args.test), tuple(args.ood), args.format, format_options(args)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lorb-train-adapter",
        description="Trains a LoRA adapter on N-best lists with references, tunes it on dev, reports, and publishes "
        "it where the server finds it, if dev is better in 95% of paired resamples.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    data = parser.add_argument_group("data")
    data.add_argument("--domain", required=True, help="name that decoders will ask for: a-z, 0-9, '.', '_', '-'")
    data.add_argument("--train", type=Path, nargs="+", required=True, metavar="FILE", help="lists to learn from")
    data.add_argument(
        "--dev", type=Path, nargs="+", required=True, metavar="FILE", help="lists to tune on and judge by"
    )
    data.add_argument("--test", type=Path, nargs="+", default=[], metavar="FILE", help="lists for the final figure")
    data.add_argument(
        "--ood", type=Path, nargs="+", default=[], metavar="FILE", help="another domain's lists, to see harm"
    )
    data.add_argument("--keep-case", action="store_true", help="do not fold case before the model reads a text")
    data.add_argument("--strip-punctuation", action="store_true", help="hide punctuation from the model")
    data.add_argument("--context", action="store_true", help="read the preceding turn in front of each hypothesis")

    data.add_argument(
        "--references", action="store_true",
        help="learn from the references too, each as one more hypothesis; for long sentences, try it on dev",
    )  # fmt: skip

    add_format_arguments(parser)

    model = parser.add_argument_group("model")
    model.add_argument("--base", default="minilm", help="folder, hub id, or minilm; the server must run the same one")
    model.add_argument("--head", choices=("sum", "mean", "cls"), default="sum", help="how a text's score is read off")
    model.add_argument("--rank", type=int, default=8, help="of the LoRA matrices")
    model.add_argument("--alpha", type=float, help="LoRA's alpha; twice the rank without it")
    model.add_argument(
        "--targets", nargs="+", choices=("query", "key", "value", "dense"), default=["query", "key", "value", "dense"],
        help="linear layers to adapt",
    )  # fmt: skip

    optimisation = parser.add_argument_group("optimisation")
    optimisation.add_argument("--epochs", type=int, default=3, help="passes over the train lists")
    optimisation.add_argument("--max-steps", type=int, help="stop after so many steps")
    optimisation.add_argument("--lists-per-step", type=int, default=16, help="lists in one step")
    optimisation.add_argument("--hypotheses-per-list", type=int, default=5, help="in one step, drawn anew each epoch")
    optimisation.add_argument("--learning-rate", type=float, default=1e-3, help="peak")
    optimisation.add_argument(
        "--correlation-weight", type=float, default=1e-3, help="lambda of the regulariser; 0 is off"
    )
    optimisation.add_argument("--evaluations-per-epoch", type=int, default=1, help="looks at dev")
    optimisation.add_argument(
        "--patience", type=int, default=3, help="looks without gain before stopping; 0: never stop"
    )
    optimisation.add_argument("--seed", type=int, default=0, help="the same seed gives the same adapter")
    optimisation.add_argument("--device", default="cpu", help="cpu or cuda")
    optimisation.add_argument("--threads", type=int, default=0, help="of the processor; 0: all")

    output = parser.add_argument_group("output")
    output.add_argument("--store", required=True, help="where adapters are published: a folder or an fsspec URL")
    output.add_argument("--force", action="store_true", help="publish whatever dev says")
    output.add_argument("--no-promote", action="store_true", help="publish without pointing `stable` at it")
    output.add_argument("--no-golden-lists", action="store_true", help="leave dev texts out of the manifest")
    output.add_argument("--report-dir", type=Path, help="write report.md and report.json here too")
    output.add_argument("--dry-run", action="store_true", help="train and report, publish nothing")
    output.add_argument("--quiet", action="store_true", help="no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())

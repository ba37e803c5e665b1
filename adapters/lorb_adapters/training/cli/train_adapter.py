"""`lorb-train-adapter`: makes an adapter from a domain's lists, proves that it helps, and publishes it."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lorb.errors import InvalidInput, NotPublished
from lorb.names import check_name
from lorb_adapters.base.new_folder import check_can_be_made, check_free
from lorb_adapters.training.cli.arguments import parser, train_config
from lorb_adapters.training.cli.exit_status import exit_status
from lorb_cli.nbest_arguments import format_options

if TYPE_CHECKING:  # torch takes seconds to import: --help and a mistyped flag answer at once
    from lorb_adapters.training.config import TrainConfig
    from lorb_adapters.training.data.reading import DataFiles
    from lorb_adapters.training.processes import Processes
    from lorb_adapters.training.publish import TrainingResult
    from lorb_adapters.training.report.report import RunReport

_PROGRAM = "lorb-train-adapter"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status.

    0: published (or trained, with --dry-run or --output-base; or audited, with --audit-only). 2: a value or a file is
    wrong, or another process of the run has failed. 3: dev did not improve. 130: interrupted.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(arguments)
    rank = os.environ.get("RANK", "0")
    return exit_status(
        _PROGRAM if rank == "0" else f"{_PROGRAM}: process {rank}",
        lambda: _train(args, f"{_PROGRAM} {shlex.join(arguments)}"),
        lost="nothing was published",
        folder=_run_folder(args),
    )


def _train(args: argparse.Namespace, command: str) -> int:
    domain = check_name(args.domain, "domain")
    config = train_config(args)
    if args.audit_only:
        return _audit(args)
    check_machine(args)
    _check_output(args)
    from lorb_adapters.process_memory import keep_freed_pages

    keep_freed_pages()
    from lorb_adapters.training.processes import Processes

    processes = Processes.join(args.device)
    try:
        finished = _run(args, domain, config, command, processes)
        return 0 if finished is None else _conclude(args, domain, finished)
    except Exception as error:
        processes.tell_failure(str(error))
        raise
    finally:
        processes.leave()


def _audit(args: argparse.Namespace) -> int:
    """Prints what the audit says of all lists; an error in them is the exit status, as it would be of a run."""
    from lorb.formats import Notices
    from lorb_adapters.training.data.audit import Audit

    notices = Notices()
    audit = Audit.of(_files(args).read_sets(notices, unique_ids=False))
    print("\n".join([*notices.lines(), audit.to_markdown()]))
    audit.check()
    return 0


def _run(
    args: argparse.Namespace, domain: str, config: "TrainConfig", command: str, processes: "Processes"
) -> "TrainingResult | None":
    import torch

    from lorb_adapters.base.loader import load_base
    from lorb_adapters.store.choose_base import choose_base
    from lorb_adapters.store.store import Store
    from lorb_adapters.training.progress import TrainingProgress
    from lorb_adapters.training.run import RESTART, RESUME, START, Keeping, run

    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device
    if device == "cuda" and processes.size > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    return run(
        domain,
        load_base(choose_base(args.base, Store(args.store) if args.store else None), device=device),
        _files(args),
        config,
        TrainingProgress(quiet=args.quiet or not processes.is_first),
        command=command,
        golden_lists=not args.no_golden_lists,
        keeping=Keeping(
            _run_folder(args),
            RESUME if args.resume else RESTART if args.restart else START,
            args.checkpoint_seconds,
        ),
        processes=processes,
    )


def _conclude(args: argparse.Namespace, domain: str, finished: "TrainingResult") -> int:
    """Reports, and publishes or writes what was made; the run's folder says which."""
    from lorb_adapters.training.run_folder import FINISHED, TRAINED

    with finished.folder or nullcontext() as folder:
        print(finished.report.to_markdown())
        if args.report_dir:
            _write_report(args.report_dir, finished.report)
        status, outcome = FINISHED, ""
        try:
            outcome = _deliver(args, domain, finished)
        except NotPublished as error:
            status, outcome = TRAINED, error.message
            raise
        finally:
            if folder is not None and outcome:
                folder.end(status, outcome)
    print(outcome)
    return 0


def _deliver(args: argparse.Namespace, domain: str, finished: "TrainingResult") -> str:
    """Writes a base, publishes an adapter, or neither; says which."""
    from lorb_adapters.store.signing import SigningKey, manifest_sha256
    from lorb_adapters.store.store import Store
    from lorb_adapters.training.publish import publish

    if args.output_base:
        from lorb_adapters.base.writer import write_base

        write_base(args.output_base, finished.method.base, finished.method.head)
        return f"wrote a base, not an adapter: use it with --base {args.output_base} in trainer and server"
    if args.dry_run:
        return "published nothing (--dry-run)"
    key = SigningKey(args.signing_key) if args.signing_key else None
    store = Store(args.store)
    version = publish(finished, store, force=args.force, promote=not args.no_promote, signing_key=key)
    # the one moment at which it is known to be what was trained: who signs it later compares
    digest = manifest_sha256(store.manifest_content(domain, version))
    stable = "" if args.no_promote else ", now stable"
    return f"published {domain}@{version} in {args.store}{stable}; manifest sha256 {digest}"


def check_machine(args: argparse.Namespace) -> None:
    """Raises InvalidInput where there is no such device, or the numbers that go with it cannot be."""
    import torch

    if args.threads < 0:
        raise InvalidInput(f"threads is {args.threads}: it must be 0 (all) or more", field="threads")
    if not args.checkpoint_seconds >= 0:  # this way round NaN too
        raise InvalidInput(
            f"checkpoint-seconds is {args.checkpoint_seconds}: it must be 0 or more", field="checkpoint-seconds"
        )
    kind, colon, number = args.device.partition(":")
    there = torch.cuda.device_count()
    index = int(number) if number.isdecimal() else there if colon else 0
    if args.device != "cpu" and (kind != "cuda" or index >= there):
        raise InvalidInput(f"device is {args.device!r}: here is cpu, and {there or 'no'} cuda", field="device")


def _check_output(args: argparse.Namespace) -> None:
    """Raises InvalidInput where what is asked for could not be given after hours of training."""
    from lorb_adapters.store.signing import SigningKey
    from lorb_adapters.store.store import Store

    for field, folder in (("report-dir", args.report_dir), ("output-base", args.output_base)):
        if folder is not None:
            check_can_be_made(folder, field)
    if args.report_dir:
        from lorb_adapters.training.report.html.figure import check_plots_can_be_made

        check_plots_can_be_made()
    if args.output_base:
        if args.method != "full":
            raise InvalidInput(
                f"output-base is for method full, which changes the base; {args.method} does not", field="output-base"
            )
        check_free(args.output_base)
    elif not args.dry_run:
        if args.method != "lora":
            from lorb_adapters.training.publish import unpublishable

            raise InvalidInput(unpublishable(args.method), field="method")
        if not args.store:
            raise InvalidInput("store is missing: say where to publish, or --dry-run to publish nothing", field="store")
        Store(args.store).found()
        if args.signing_key:
            SigningKey(args.signing_key)


def _files(args: argparse.Namespace) -> "DataFiles":
    from lorb_adapters.training.data.reading import DataFiles

    return DataFiles(
        tuple(args.train), tuple(args.dev), tuple(args.test), tuple(args.ood), args.format, format_options(args)
    )


def _run_folder(args: argparse.Namespace) -> Path:
    folder: Path = args.run_dir or Path("runs") / args.domain
    return folder


def _write_report(folder: Path, report: "RunReport") -> None:
    from lorb_adapters.training.report.html.run_page import run_page
    from lorb_adapters.training.report.saved_report import REPORT_JSON, SavedReport

    json_text = report.to_json()
    page = run_page(SavedReport.parse(json_text.encode(), REPORT_JSON))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("report.md", report.to_markdown()), (REPORT_JSON, json_text), ("report.html", page)):
        partial = folder / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, folder / name)


if __name__ == "__main__":
    sys.exit(main())

"""`lorb-train-adapter`: trains an adapter on a domain's lists, measures it, and publishes it if dev improves."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lorb.errors import NotPublished
from lorb.names import check_name
from lorb_adapters.atomic_files import atomic_file
from lorb_adapters.training.cli.arguments import parser
from lorb_adapters.training.cli.checks import check_numbers, check_output, choose_device
from lorb_adapters.training.cli.exit_status import exit_status
from lorb_adapters.training.cli.priority import lower_priority
from lorb_adapters.training.cli.train_config import train_config
from lorb_cli.nbest_arguments import format_options

if TYPE_CHECKING:  # importing torch takes seconds, and --help and errors in flags need not wait for it
    from lorb_adapters.training.config import TrainConfig
    from lorb_adapters.training.data.files import DataFiles
    from lorb_adapters.training.processes import Processes
    from lorb_adapters.training.publish import TrainingResult
    from lorb_adapters.training.run_folder import CheckpointOptions

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
    check_numbers(args)
    lower_priority(args.nice)
    device = choose_device(args.device)
    check_output(args)
    from lorb_adapters.process_memory import keep_freed_pages

    keep_freed_pages()
    from lorb_adapters.training.processes import Processes

    processes = Processes.join(device)
    try:
        result = _run(args, domain, config, command, processes, device)
        return 0 if result is None else _finish(args, domain, result)
    except Exception as error:
        processes.report_failure(str(error))
        raise
    finally:
        processes.close()


def _audit(args: argparse.Namespace) -> int:
    """Prints the audit of all lists. Raises InvalidInput for an error in the lists, as a run would."""
    from lorb.formats import Notices
    from lorb_adapters.training.data.audit import Audit

    notices = Notices()
    audit = Audit.of(*_files(args).read_sets(notices, unique_ids=False))
    print("\n".join([*notices.lines(), audit.to_markdown()]))
    audit.check()
    return 0


def _run(
    args: argparse.Namespace, domain: str, config: "TrainConfig", command: str, processes: "Processes", device: str
) -> "TrainingResult | None":
    """Trains and measures; returns the result in the main process, and None in all others."""
    import torch

    from lorb_adapters.base.loader import load_base
    from lorb_adapters.store.choose_base import choose_base
    from lorb_adapters.store.store import Store
    from lorb_adapters.threads import default_threads
    from lorb_adapters.training.progress import TrainingProgress
    from lorb_adapters.training.run import run

    threads = args.threads or default_threads()
    torch.set_num_threads(1)  # each of the threads that divide a batch computes its part alone
    if device == "cuda" and processes.size > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    base = load_base(choose_base(args.base, Store(args.store) if args.store else None), device=device)
    # Subnormal numbers would make CPU computations several times slower. Not before the base's weights were hashed.
    torch.set_flush_denormal(True)
    try:
        return run(
            domain,
            base,
            _files(args),
            config,
            TrainingProgress(quiet=args.quiet or not processes.is_main),
            command=command,
            golden_lists=not args.no_golden_lists,
            checkpoints=_checkpoints(args),
            processes=processes,
            threads=threads,
        )
    finally:
        torch.set_flush_denormal(False)


def _finish(args: argparse.Namespace, domain: str, result: "TrainingResult") -> int:
    """Writes the report, publishes or writes the result, and records the outcome in the run's folder."""
    from lorb_adapters.training.report.pages import report_markdown
    from lorb_adapters.training.run_folder import FINISHED, TRAINED

    with result.folder or nullcontext() as folder:
        print(report_markdown(result.report))
        if args.report_dir:
            _write_report(args.report_dir, result)
        status, outcome = FINISHED, ""
        try:
            outcome = _deliver(args, domain, result)
        except NotPublished as error:
            status, outcome = TRAINED, error.message
            raise
        finally:
            if folder is not None and outcome:
                folder.end(status, outcome)
    print(outcome)
    return 0


def _deliver(args: argparse.Namespace, domain: str, result: "TrainingResult") -> str:
    """Writes the base, publishes the adapter, or does neither; returns the outcome as one line."""
    from lorb_adapters.store.signing import SigningKey, manifest_sha256
    from lorb_adapters.store.store import Store
    from lorb_adapters.training.publish import publish

    if args.output_base:
        from lorb_adapters.base.writer import write_base

        write_base(args.output_base, result.method.base, result.method.head)
        return f"wrote a base, not an adapter: use it with --base {args.output_base} in trainer and server"
    if args.dry_run:
        return "published nothing (--dry-run)"
    key = SigningKey(args.signing_key) if args.signing_key else None
    store = Store(args.store)
    version = publish(result, store, force=args.force, promote=not args.no_promote, signing_key=key)
    # Printed now, while the stored version is certainly the one that this run trained. Whoever signs the version later
    # can compare its digest with this one.
    digest = manifest_sha256(store.manifest_content(domain, version))
    stable = "" if args.no_promote else ", now stable"
    return f"published {domain}@{version} in {args.store}{stable}; manifest sha256 {digest}"


def _files(args: argparse.Namespace) -> "DataFiles":
    from lorb_adapters.training.data.files import DataFiles

    return DataFiles(
        tuple(args.train), tuple(args.dev), tuple(args.test), tuple(args.ood), args.format, format_options(args)
    )


def _checkpoints(args: argparse.Namespace) -> "CheckpointOptions":
    from lorb_adapters.training.run_folder import RESTART, RESUME, START, CheckpointOptions

    start_mode = RESUME if args.resume else RESTART if args.restart else START
    return CheckpointOptions(_run_folder(args), start_mode, args.checkpoint_seconds)


def _run_folder(args: argparse.Namespace) -> Path:
    folder: Path = args.run_dir or Path("runs") / args.domain
    return folder


def _write_report(folder: Path, result: "TrainingResult") -> None:
    from lorb_adapters.training.report.pages import report_markdown, run_page
    from lorb_adapters.training.report.report import REPORT_JSON

    report = result.report
    texts = {"report.md": report_markdown(report), REPORT_JSON: report.to_json(), "report.html": run_page(report)}
    with suppress(OSError):  # writing the first file fails too then, with a message that names the problem
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with atomic_file(folder / name, "report-dir") as file:
            file.write(text.encode())


if __name__ == "__main__":
    sys.exit(main())

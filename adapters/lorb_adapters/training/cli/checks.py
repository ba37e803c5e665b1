"""Checks the training commands' arguments before training starts."""

import argparse
import os

from lorb.errors import InvalidInput
from lorb_adapters.base.writer import check_can_be_created, check_is_unused


def check_numbers(args: argparse.Namespace) -> None:
    """Raises InvalidInput if --threads or --checkpoint-seconds is not 0 or more."""
    if args.threads < 0:
        raise InvalidInput(f"threads is {args.threads}: it must be 0 (all) or more", field="threads")
    if not args.checkpoint_seconds >= 0:  # true for NaN too
        raise InvalidInput(
            f"checkpoint-seconds is {args.checkpoint_seconds}: it must be 0 or more", field="checkpoint-seconds"
        )


def choose_device(name: str) -> str:
    """Returns the device that --device names; for "auto" a GPU, if there is one for each process on this machine.

    Raises InvalidInput if the device does not exist.
    """
    import torch

    num_gpus = torch.cuda.device_count()
    if name == "auto":
        num_processes = os.environ.get("LOCAL_WORLD_SIZE", "1")  # torchrun's
        return "cuda" if num_processes.isdecimal() and 0 < int(num_processes) <= num_gpus else "cpu"
    kind, colon, number = name.partition(":")
    index = int(number) if number.isdecimal() else num_gpus if colon else 0
    if name != "cpu" and (kind != "cuda" or index >= num_gpus):
        raise InvalidInput(
            f"device is {name!r}: this machine has cpu and {num_gpus or 'no'} cuda devices", field="device"
        )
    return name


def check_output(args: argparse.Namespace) -> None:
    """Raises InvalidInput if the report, the base or the adapter could not be written at the end of the run."""
    from lorb_adapters.store.layout import check_publishable
    from lorb_adapters.store.signing import SigningKey
    from lorb_adapters.store.store import Store

    for field, folder in (("report-dir", args.report_dir), ("output-base", args.output_base)):
        if folder is not None:
            check_can_be_created(folder, field)
    if args.report_dir:
        from lorb_adapters.training.report.svg import check_plots_can_be_made

        check_plots_can_be_made()
    if args.output_base:
        if args.method != "full":
            raise InvalidInput(
                f"output-base is for method full, which changes the base: {args.method} does not", field="output-base"
            )
        check_is_unused(args.output_base)
    elif not args.dry_run:
        if args.method != "lora":
            from lorb_adapters.training.publish import unpublishable_reason

            raise InvalidInput(unpublishable_reason(args.method), field="method")
        if not args.store:
            raise InvalidInput(
                "store is missing: name the store to publish in, or give --dry-run to publish nothing", field="store"
            )
        store = Store(args.store)
        store.create()
        store.last_version_number(check_publishable(args.domain))  # publishing begins by reading it
        if args.signing_key:
            SigningKey(args.signing_key)

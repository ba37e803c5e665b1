"""`lorb-base-delta`: stores a base as its difference from another base.

The difference takes at most a fifteenth of the size of the base.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorb.errors import InvalidInput, LorbError
from lorb_adapters.base.writer import check_can_be_created, check_is_unused, new_folder
from lorb_cli.command import add_common_arguments, require_extra

if TYPE_CHECKING:  # torch takes seconds to import
    from lorb_adapters.base.delta import BaseDelta

_PROGRAM = "lorb-base-delta"
_USAGE_ERROR = 2
# Files copied from the base's folder: its score head and its report.
_COPIED_FILES = ("lorb_head.json", "lorb_head.safetensors", "report.md", "report.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0 for success, 2 if a value or a file is wrong."""
    args = parser().parse_args(argv)
    try:
        check_can_be_created(args.output_base, "output-base")
        check_is_unused(args.output_base)
        with require_extra(_PROGRAM, "serve"):
            delta, rounding_error = _delta(args.folder, args.of)
        size = _write(args.output_base, args.folder, delta)
    except LorbError as error:
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        return _USAGE_ERROR
    print(
        f"wrote {args.output_base}: {size:,} bytes; "
        f"rounding error: {rounding_error:.1%} of the norm of the difference from {args.of}"
    )
    print("adapters trained on the original base do not fit the rounded base: train them on the rounded base")
    return 0


def _delta(folder: Path, parent_name: str) -> "tuple[BaseDelta, float]":
    """Returns (the delta, the norm of its rounding error divided by the norm of the exact difference)."""
    import torch
    from transformers.modeling_utils import PreTrainedModel

    from lorb_adapters.base.delta import BaseDelta, differences
    from lorb_adapters.base.fingerprint import base_fingerprint
    from lorb_adapters.base.loader import load_base

    changed, parent = load_base(str(folder)), load_base(parent_name)
    tokenizers = [base.text_encoder.to_json()["tokenizer"] for base in (changed, parent)]
    encoder = parent.encoder
    if not isinstance(encoder, PreTrainedModel) or not isinstance(changed.encoder, PreTrainedModel):
        raise TypeError("the encoder is not a model of transformers")
    if base_fingerprint(encoder, encoder.config, tokenizers[0]) != parent.fingerprint or (
        base_fingerprint(changed.encoder, encoder.config, tokenizers[1]) != changed.fingerprint
    ):
        raise InvalidInput(f"{folder} has another tokenizer or configuration than {parent_name}", field="of")
    parent_weights = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    tensors = differences(encoder, changed.encoder)
    delta = BaseDelta(parent_name, parent.fingerprint, "", tensors)
    delta.add_to(encoder)
    rounded, exact = encoder.state_dict(), changed.encoder.state_dict()
    error = torch.stack([(rounded[name] - exact[name]).square().sum() for name in parent_weights]).sum().sqrt()
    norm = torch.stack([(exact[name] - parent_weights[name]).square().sum() for name in parent_weights]).sum().sqrt()
    fingerprint = base_fingerprint(encoder, encoder.config, tokenizers[1])
    rounding_error = float(error / norm) if norm else 0.0
    return BaseDelta(_portable_name(parent_name), parent.fingerprint, fingerprint, tensors), rounding_error


def _portable_name(name: str) -> str:
    """Returns a base's name that is valid in every working folder: an absolute path for a folder."""
    from lorb_adapters.base.named import base_source

    is_folder = base_source(name) == name and Path(name).is_dir()
    return str(Path(name).absolute()) if is_folder else name


def _write(output: Path, source: Path, delta: "BaseDelta") -> int:
    """Writes the folder atomically; returns its size in bytes."""
    with new_folder(output) as partial:
        delta.write(partial)
        for name in _COPIED_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, partial / name)
    return sum(file.stat().st_size for file in output.iterdir())


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    result = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Writes a base as its difference from the base it was trained from, with four bits per weight. "
        "The result is a folder for --base. Loading it also needs the base that it was trained from.",
    )
    add_common_arguments(result)
    result.add_argument("folder", type=Path, help="the base, as lorb-build-base or --method full wrote it")
    result.add_argument(
        "--of", required=True, metavar="BASE", help="the base that it was trained from: a name or folder, as for --base"
    )
    result.add_argument("--output-base", type=Path, required=True, metavar="DIR", help="the new folder to write")
    return result


if __name__ == "__main__":
    sys.exit(main())

"""`lorb-compare`: compares reports of lorb-train-adapter in the terminal and on an HTML page."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lorb.errors import LorbError
from lorb_adapters.atomic_files import atomic_file
from lorb_cli.command import add_common_arguments, require_extra

with require_extra("lorb-compare", "train"):
    from lorb_adapters.training.report.comparison import Comparison

_PROGRAM = "lorb-compare"
_USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, or 2 if a file is wrong or cannot be written."""
    args = parser().parse_args(argv)
    try:
        comparison = Comparison.read(args.runs)
        if args.html:
            _write_page(args.html, comparison)
    except LorbError as error:
        print(f"{_PROGRAM}:", *str(error).split(), file=sys.stderr)
        return _USAGE_ERROR
    console = Console(markup=False, highlight=False)
    console.print(_table(comparison))
    for notice in comparison.warnings():
        console.print(notice)
    if args.html:
        console.print(f"wrote {args.html}", soft_wrap=True)
    return 0


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Compares training runs: the settings that differ, the word error rates with intervals, and the "
        "costs. The change is the 95% interval of the rescored minus the first-pass word error rate, over paired "
        "resamples of utterances; below 0 is better. Every further run is also compared with the first one, A, on "
        "the lists that both measured: the paired interval and the matched-pairs test (MAPSSWE).",
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN",
        help="a report.json, or a folder that contains it, such as the folder of a version in a store",
    )  # fmt: skip
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="also write a page with plots; for one run, the page of its report"
    )
    add_common_arguments(parser)
    return parser


def _table(comparison: Comparison) -> Table:
    table = Table()
    table.add_column("")
    for label, name in zip(comparison.labels, comparison.names, strict=True):
        table.add_column(f"{label}  {name}", overflow="fold")
    for section in comparison.sections():
        table.add_section()
        table.add_row(section.title, style="bold")
        for name, values in section.rows:
            table.add_row(f"  {name}", *values)
    return table


def _write_page(path: Path, comparison: Comparison) -> None:
    """Writes the page. Raises InvalidInput if it cannot be drawn or written."""
    if len(comparison.runs) == 1:
        from lorb_adapters.training.report.pages import run_page

        content = run_page(comparison.runs[0])
    else:
        from lorb_adapters.training.report.pages import comparison_page

        content = comparison_page(comparison)
    with atomic_file(path, "html") as file:
        file.write(content.encode())


if __name__ == "__main__":
    sys.exit(main())

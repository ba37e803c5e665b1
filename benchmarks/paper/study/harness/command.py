"""The command line that all tables share."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from study.harness.json_lines import write_whole
from study.harness.runner import Folders, Run
from study.harness.sizes import SIZES, SMALL, Size
from study.harness.table import Table

ROOT = Path(__file__).parents[4]
INTERRUPTED, MISUSED, FAILED = 130, 2, 1


def main(
    table: Table,
    argv: Sequence[str] | None = None,
    description: str = "",
    *,
    before: Callable[[Size], None] = lambda size: None,
) -> int:
    """Runs the command of a table.

    Args:
        table: the table.
        argv: flags; None: those of the process.
        description: text for --help.
        before: called with the size before the first cell runs.

    Returns:
        The exit status: 0 no cell failed, 1 some failed, 2 the sets are missing, 130 interrupted.
    """
    args = parser(description).parse_args(argv)
    run = Run(
        table=table,
        size=SIZES[args.size],
        folders=folders(args.size, args.results, args.scratch, args.sets),
        say=lambda text: print(text, flush=True),
        device=args.device,
        threads=args.threads,
        jobs=args.jobs,
        minutes=args.minutes,
        only=args.only,
    )
    if args.plan:
        return _plan(run)
    if not args.write and not run.folders.sets.is_dir():
        print(f"{run.folders.sets} has no sets: make them with benchmarks/paper/data.py --source DIR", file=sys.stderr)
        return MISUSED
    if args.again:
        run.records.forget(args.again)
    status = 0
    if not args.write:
        if run.left():
            before(run.size)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
        try:
            status = FAILED if run.do() else 0
        except KeyboardInterrupt:
            print("interrupted: run the same command to continue")
            status = INTERRUPTED
    page = table.page(run.size, run.records)
    path = run.folders.results / f"{table.name}.md"
    write_whole(path, page)
    print(page if args.write else f"wrote {path}")
    return status


def parser(description: str) -> argparse.ArgumentParser:
    """The flags that all tables share."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = made.add_mutually_exclusive_group()
    action.add_argument("--plan", action="store_true", help="list done and open cells, and run none")
    action.add_argument("--write", action="store_true", help="make the page from the records, and run no cell")
    made.add_argument("--size", choices=tuple(SIZES), default="small", help="full needs a GPU (default: small)")
    made.add_argument("--only", default="", metavar="TEXT", help="only cells whose names contain TEXT")
    made.add_argument("--again", default="", metavar="TEXT", help="first remove the records whose names contain TEXT")
    made.add_argument("--jobs", type=int, default=1, help="cells to run at a time (default: 1)")
    made.add_argument("--threads", type=int, default=1, help="processor threads of each cell (default: 1)")
    made.add_argument("--minutes", type=float, default=0.0, help="start no cell after this many minutes; 0: no limit")
    made.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    made.add_argument(
        "--results",
        type=Path,
        help="folder of records and pages (default: benchmarks/paper/results, with /SIZE for sizes other than small)",
    )
    made.add_argument("--scratch", type=Path, help="weights, checkpoints and logs (default: runs/paper/SIZE)")
    made.add_argument("--sets", type=Path, help="folder that data.py made (default: runs/paper/sets)")
    return made


def folders(size: str, results: Path | None = None, scratch: Path | None = None, sets: Path | None = None) -> Folders:
    """The folders of a size, by default those of the repository."""
    committed = ROOT / "benchmarks" / "paper" / "results"
    runs = ROOT / "runs" / "paper"
    default = committed if size == SMALL.name else committed / size
    return Folders(results or default, scratch or runs / size, sets or runs / "sets")


def _plan(run: Run) -> int:
    run.share()
    left = run.left()
    cells = [each for each in run.table.cells(run.size, run.records) if run.only in each.name]
    for cell in cells:
        print(f"{'to do' if cell in left else 'done ':5}  cost {cell.cost:8.0f}  {cell.name}")
    print(f"{len(cells)} cells known, {len(left)} left; choices on dev may add more")
    return 0

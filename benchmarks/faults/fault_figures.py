"""The command line and the results file that every script of this folder shares."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
from results_file import RESULTS, write_results

FIGURES = RESULTS / "faults_of_issues.jsonl"


@dataclass(frozen=True, slots=True)
class FaultFigure:
    """What a running server did under one fault.

    Attributes:
        fault: a short name of the fault, such as "hung store, SIGTERM".
        measured: what happened, in words with units, such as "process gone 4.1 s after SIGTERM".
        seconds: the wall time of that event; None if the figure is not a time.
        is_right: whether this is what the server should do.
    """

    fault: str
    measured: str
    seconds: float | None
    is_right: bool


def parse_arguments(description: str | None, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """`--commands FOLDER` has the commands of the release under test; `--release NAME` names it in the results."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=Path, default=Path(sys.executable).parent, metavar="FOLDER")
    parser.add_argument("--release", default="this checkout", metavar="NAME")
    return parser.parse_args(arguments)


def report_figures(release: str, figures: Iterable[FaultFigure]) -> int:
    """Prints the figures, adds them to the results file, and returns the exit status: 1 if one is not right."""
    figures = list(figures)
    for figure in figures:
        print(f"{'ok   ' if figure.is_right else 'WRONG'} {figure.fault}: {figure.measured}")
    write_results(FIGURES, [{"release": release, **asdict(each)} for each in figures], identity=("fault", "release"))
    return 0 if all(figure.is_right for figure in figures) else 1

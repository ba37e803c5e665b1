"""Prints tables: for people on a terminal, for programs elsewhere."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on a terminal, and lines with tabs and without a heading elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            print(*row, sep="\t")
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)

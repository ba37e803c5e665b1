"""Prints tables: drawn on a terminal, tab-separated elsewhere."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draws a table with a heading on a terminal; elsewhere prints tab-separated lines without a heading."""
    if not sys.stdout.isatty():
        for row in rows:
            print(*row, sep="\t")
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)

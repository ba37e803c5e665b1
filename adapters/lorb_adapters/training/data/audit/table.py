"""Renders Markdown tables with aligned columns, which are readable in a terminal too."""

from collections.abc import Sequence


def aligned_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Pads each column to its widest cell and escapes "|" in cells."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )

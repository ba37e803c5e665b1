"""Renders Markdown tables with aligned columns, which are readable in a terminal too."""

from collections.abc import Sequence


def aligned_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table whose columns are padded to their widest cell; "|" in cells is escaped."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )

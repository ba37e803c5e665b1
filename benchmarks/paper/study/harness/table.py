"""A table of the study: its cells, the figures that it keeps, and its page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.harness.cell import Cell, Key
from study.harness.records import Records
from study.harness.sizes import Size

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the study.

    Attributes:
        name: name of the command, the results and the page, such as "table1".
        cells: lists the known cells in the order of execution. A choice on dev, such as a learning rate, adds cells
            once the cells that it depends on are done.
        page: makes the Markdown, which says where cells are missing.
        kept: selects the figures that the page needs of a cell with this key. Raises KeyError if one is missing.
    """

    name: str
    cells: Callable[[Size, Records], Sequence[Cell]]
    page: Callable[[Size, Records], str]
    kept: Callable[[Key, Figures], Figures] = lambda key, figures: figures


def pick(figures: Figures, *paths: str) -> dict[str, Any]:
    """The figures at some paths, such as "dev" or "best.wer". Raises KeyError if one is missing."""
    picked: dict[str, Any] = {}
    for path in paths:
        name, _, rest = path.partition(".")
        picked[name] = picked.get(name, {}) | pick(figures[name], rest) if rest else figures[name]
    return picked

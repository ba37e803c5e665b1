"""A table: its cells, the figures that it keeps of them, and the page that is made of their records."""

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
        name: of its command, its results and its page: "table1".
        cells: the cells that are known from the records, in the order of work. A choice made on dev (a learning rate)
            adds cells once the cells that it needs are done.
        page: makes the Markdown; it says where cells are missing.
        kept: selects the figures that the page needs of a cell with this key. Raises KeyError where one is missing.
    """

    name: str
    cells: Callable[[Size, Records], Sequence[Cell]]
    page: Callable[[Size, Records], str]
    kept: Callable[[Key, Figures], Figures] = lambda key, figures: figures


def pick(figures: Figures, *paths: str) -> dict[str, Any]:
    """The figures at some paths: "dev" or "best.wer". Raises KeyError where there is none."""
    picked: dict[str, Any] = {}
    for path in paths:
        name, _, rest = path.partition(".")
        picked[name] = picked.get(name, {}) | pick(figures[name], rest) if rest else figures[name]
    return picked

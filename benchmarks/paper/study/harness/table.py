"""A table: which cells it has, and the page that is made of their records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from study.harness.cell import Cell
from study.harness.records import Records
from study.harness.sizes import Size


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the study.

    Attributes:
        name: of its command, its folder of records and its page: "table1".
        cells: those that can be named by the records there are: a choice made on dev (a learning rate) names more once
            its cells are done. In the order in which they are to be done.
        page: Markdown made of the records; says so where cells are missing.
    """

    name: str
    cells: Callable[[Size, Records], Sequence[Cell]]
    page: Callable[[Size, Records], str]

"""Makes cells of a page's rows from the records of a setting over seeds."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from study.harness.records import Record
from study.lists.error_counts import SetCounts, unpacked
from study.statistics.intervals import Interval, over_seeds, paired_difference


def matching(records: Iterable[Record], **key: object) -> list[Record]:
    """The records whose keys have these values, sorted by seed."""
    return sorted((each for each in records if each.has(**key)), key=lambda each: int(each.key.get("seed", 0)))


def wer(records: Sequence[Record], part: str = "dev") -> str:
    """The mean WER and its interval over seeds, in per cent; empty without records."""
    return over_seeds([each.figures[part]["wer"] for each in records]).text() if records else ""


def elsewhere(records: Sequence[Record], weight: str = "own_weight") -> str:
    """The mean WER of the other domains' dev sets with its interval over seeds; empty if none was measured."""
    measured = [each.figures["elsewhere"].values() for each in records if each.figures.get("elsewhere")]
    if not measured:
        return ""
    return over_seeds([fmean(one[weight]["wer"] for one in sets) for sets in measured]).text()


def errors(records: Sequence[Record], part: str = "dev") -> list[np.ndarray]:
    """Word errors, [records] of [lists]."""
    return [unpacked(each.figures[part]["errors"]) for each in records]


def change(
    records: Sequence[Record], reference: Sequence[Record], results: Path, part: str = "dev", reference_part: str = ""
) -> Interval | None:
    """The difference in WER from a reference on the same lists, negative is better; None if one has no records."""
    if not records or not reference:
        return None
    words = SetCounts.read(results, records[0].figures[part]["set"]).words
    return paired_difference(errors(records, part), errors(reference, reference_part or part), words)


def change_text(interval: Interval | None) -> str:
    """The difference as a page shows it; empty for None."""
    return "" if interval is None else interval.text(sign=True)


def count(records: Sequence[Record]) -> str:
    """The number of seeds of a row."""
    return str(len(records))

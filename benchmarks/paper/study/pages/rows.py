"""Rows of pages: the records of one setting over seeds, and how they compare with another setting's."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from study.harness.records import Record
from study.lists.error_counts import SetCounts, unpacked
from study.statistics.intervals import Interval, over_seeds, paired_difference


def matching(records: Iterable[Record], **key: object) -> list[Record]:
    """Those with these values in their keys, by seed."""
    return sorted((each for each in records if each.has(**key)), key=lambda each: int(each.key.get("seed", 0)))


def wer(records: Sequence[Record], part: str = "dev") -> str:
    """Mean and interval over seeds, per cent; empty without records."""
    return over_seeds([each.figures[part]["wer"] for each in records]).text() if records else ""


def elsewhere(records: Sequence[Record], weight: str = "own_weight") -> str:
    """The mean of the other domains' dev WER: mean and interval over seeds; empty where none was measured."""
    measured = [each.figures["elsewhere"].values() for each in records if each.figures.get("elsewhere")]
    if not measured:
        return ""
    return over_seeds([fmean(one[weight]["wer"] for one in sets) for sets in measured]).text()


def errors(records: Sequence[Record], part: str = "dev") -> list[np.ndarray]:
    """Errors list by list, for each record."""
    return [unpacked(each.figures[part]["errors"]) for each in records]


def change(
    records: Sequence[Record], reference: Sequence[Record], results: Path, part: str = "dev", reference_part: str = ""
) -> Interval | None:
    """The difference in WER from a reference on the same lists, below 0 is better; None where one has no records."""
    if not records or not reference:
        return None
    words = SetCounts.read(results, records[0].figures[part]["set"]).words
    return paired_difference(errors(records, part), errors(reference, reference_part or part), words)


def change_text(interval: Interval | None) -> str:
    """As a page shows it; empty for none."""
    return "" if interval is None else interval.text(sign=True)


def count(records: Sequence[Record]) -> str:
    """Seeds of a row."""
    return str(len(records))

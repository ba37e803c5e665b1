"""Alternatives of a recognition service: texts in its order, and confidences that may be no scores."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from lorb.formats.parsing.json_values import checked_array, checked_number, checked_object, checked_text
from lorb.formats.warnings import Notices

AsServiceWrites = Mapping[str, object]


def alternatives(
    value: object, text_key: str, confidence_key: str, path: Path, line: int, notices: Notices
) -> list[dict[str, object]]:
    """The hypotheses of an array of alternatives, every other field kept.

    A service's order is the first pass. Its confidences, probabilities of the words being right, become scores,
    ln(confidence), only where every alternative has one and none exceeds the one before: 0 stands for unset, and
    many services rate the best alone. Raises MalformedFile.
    """
    entries = [
        checked_object(each, path, line, "an alternative")
        for each in checked_array(value, path, line, "the alternatives")
    ]
    confidences = [_confidence(entry.get(confidence_key), path, line) for entry in entries]
    scores = _scores(confidences, notices)
    return [
        {key: field for key, field in entry.items() if key not in (text_key, "text", "score")}
        | {"text": checked_text(entry.get(text_key), path, line, f'"{text_key}" of an alternative').strip()}
        | ({} if scores is None else {"score": scores[i]})
        for i, entry in enumerate(entries)
    ]


def _confidence(value: object, path: Path, line: int) -> float:
    return 0.0 if value is None else checked_number(value, path, line, "the confidence of an alternative")


def _scores(confidences: Sequence[float], notices: Notices) -> list[float] | None:
    if not any(confidences):
        notices.add("lists without scores: the service rates no alternative")
        return None
    if not all(0 < confidence <= 1 for confidence in confidences):
        notices.add("lists without scores: the service rates some alternatives only")
        return None
    if any(after > before for before, after in pairwise(confidences)):
        notices.add("lists without scores: the service's confidences contradict its order")
        return None
    notices.add("lists with ln(confidence) as scores")
    return [math.log(confidence) for confidence in confidences]

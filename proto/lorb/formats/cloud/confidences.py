"""Converts the alternatives of a recognition service, with their confidences, to hypotheses."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lorb.formats.notices import Notices
from lorb.formats.parsing.values import require_array, require_number, require_object, require_text


def hypotheses_from_alternatives(
    value: object, text_key: str, confidence_key: str, path: Path, line: int, notices: Notices
) -> list[dict[str, object]]:
    """Converts an array of alternatives, in first-pass order, to hypotheses in the native shape. Other fields are kept.

    Scores are ln(confidence) if every alternative has a confidence, and confidences never increase down the list.
    Otherwise the hypotheses have no scores: many services set only the confidence of the first alternative. Confidences
    lie between 0 and 1, and 0 means unset. Raises MalformedFile.
    """
    entries = [
        require_object(alternative, path, line, "an alternative")
        for alternative in require_array(value, path, line, "the alternatives")
    ]
    confidences = [_confidence(entry.get(confidence_key), path, line) for entry in entries]
    scores = _scores(confidences, notices)
    return [
        {key: field for key, field in entry.items() if key not in (text_key, "text", "score")}
        | {"text": require_text(entry.get(text_key), path, line, f'"{text_key}" of an alternative').strip()}
        | ({} if scores is None else {"score": scores[i]})
        for i, entry in enumerate(entries)
    ]


def _confidence(value: object, path: Path, line: int) -> float:
    return 0.0 if value is None else require_number(value, path, line, "the confidence of an alternative")


def _scores(confidences: Sequence[float], notices: Notices) -> list[float] | None:
    if not any(confidences):
        notices.add("lists without scores: no alternative has a confidence")
        return None
    if not all(0 < confidence <= 1 for confidence in confidences):
        notices.add("lists without scores: some alternatives have no confidence above 0 and up to 1")
        return None
    if any(following > previous for previous, following in pairwise(confidences)):
        notices.add("lists without scores: confidences increase down the list")
        return None
    notices.add("lists with ln(confidence) as scores")
    return [math.log(confidence) for confidence in confidences]

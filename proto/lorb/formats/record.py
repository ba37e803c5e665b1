"""ListRecord: one list of a file with all its fields, in the native shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorb.errors import InvalidInput, MalformedFile
from lorb.names import check_label
from lorb.nbest import Hypothesis, NBest


@dataclass(frozen=True, slots=True)
class ListRecord:
    """One list of a file.

    Attributes:
        nbest: the list.
        fields: the whole record in the native shape, {"id", "ref"?, "domain"?, "context"?, "hyps": [{"text",
            "score"?, "component_scores"?}]}. A "?" marks an optional field. `fields` also holds all other fields of
            the record in the file.
        path: the file.
        line: line on which the record begins, from 1.
    """

    nbest: NBest
    fields: Mapping[str, object]
    path: Path
    line: int

    @classmethod
    def of(cls, fields: object, path: Path, line: int) -> "ListRecord":
        """Makes a record from fields in the native shape. Raises MalformedFile that names the wrong field."""
        try:
            record = _object(fields, "the record")
            return cls(_nbest(record), record, path, line)
        except InvalidInput as error:
            raise MalformedFile(path, line, error.message) from error


def _nbest(record: Mapping[str, object]) -> NBest:
    hypotheses = _array(record, "hyps")
    return NBest(
        tuple(_hypothesis(i, _object(hypothesis, f"hyps[{i}]")) for i, hypothesis in enumerate(hypotheses)),
        id=_id(record),
        context=_text(record, "context") or "",
        reference=_text(record, "ref"),
        domain=_text(record, "domain") or "",
    )


def _id(record: Mapping[str, object]) -> str:
    list_id = _text(record, "id")
    if not list_id:
        raise InvalidInput('"id" is missing: give every list an id', field="id")
    return check_label(list_id, '"id"')


def _hypothesis(i: int, record: Mapping[str, object]) -> Hypothesis:
    place = f"hyps[{i}]."
    transcript = _text(record, "text", place)
    if transcript is None:
        raise InvalidInput(f'{place}"text" is missing', field=f"{place}text")
    components = _object(record.get("component_scores") or {}, f'{place}"component_scores"')
    try:
        return Hypothesis(
            transcript,
            None if record.get("score") is None else _number(record["score"], '"score"'),
            {name: _number(score, f'"component_scores" {name!r}') for name, score in components.items()},
        )
    except InvalidInput as error:
        raise InvalidInput(place + error.message, field=place + error.field) from error


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{place} is not an object", field=place)
    return value


def _array(record: Mapping[str, object], name: str) -> Sequence[object]:
    value = record.get(name)
    if value is None:
        raise InvalidInput(f'"{name}" is missing', field=name)
    if not isinstance(value, list):
        raise InvalidInput(f'"{name}" is not an array', field=name)
    if not value:
        raise InvalidInput(f'"{name}" is empty', field=name)
    return value


def _text(record: Mapping[str, object], name: str, place: str = "") -> str | None:
    value = record.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f'{place}"{name}" is not text', field=f"{place}{name}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(f'{place}"{name}" holds a lone surrogate', field=f"{place}{name}") from None
    return value


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{place} is not a number", field=place)
    try:
        return float(value)
    except OverflowError:
        raise InvalidInput(f"{place} is too large", field=place) from None

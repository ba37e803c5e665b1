"""Writing N-best lists in the native format: whole or not at all."""

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from lorb.errors import InvalidInput, LorbError
from lorb.nbest import Hypothesis, NBest


def write_native(path: Path, records: Iterable[NBest | Mapping[str, object]]) -> int:
    """Writes lists, or records in the native shape, as JSON lines; gzip where the name ends in .gz.

    The lines go to a file beside `path` that takes its name at the end: what goes wrong before, in `records`
    too, leaves nothing behind. Equal records make equal bytes. Returns the count. Raises InvalidInput as
    check_writable does, and a plain LorbError where writing fails on the way, as on a full disk.
    """
    num_records = 0
    with _replacing(path) as lines:
        for record in records:
            lines.write(native_line(record))
            num_records += 1
    return num_records


def native_line(record: NBest | Mapping[str, object]) -> bytes:
    """One line of a native file."""
    fields = native_record(record) if isinstance(record, NBest) else record
    try:
        return json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair in a field that is not ours: JSON can escape it
        return json.dumps(fields).encode("ascii") + b"\n"


def native_record(nbest: NBest) -> dict[str, object]:
    """A list in the native shape, without the fields that it has not."""
    fields: dict[str, object] = {"id": nbest.id}
    if nbest.domain:
        fields["domain"] = nbest.domain
    if nbest.context:
        fields["context"] = nbest.context
    if nbest.reference is not None:
        fields["ref"] = nbest.reference
    fields["hyps"] = [_hypothesis_record(hypothesis) for hypothesis in nbest.hypotheses]
    return fields


def check_writable(path: Path) -> None:
    """Raises InvalidInput where a file could not take the name `path`: asked before long work begins."""
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{path}: not a regular file, so it cannot be replaced", field=str(path))
    if not path.parent.is_dir():
        raise InvalidInput(f"{path}: cannot be written: no folder {path.parent}", field=str(path))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InvalidInput(f"{path}: cannot be written: folder {path.parent} is read-only", field=str(path))


def _hypothesis_record(hypothesis: Hypothesis) -> dict[str, object]:
    fields: dict[str, object] = {"text": hypothesis.transcript}
    if hypothesis.first_pass_score is not None:
        fields["score"] = hypothesis.first_pass_score
    if hypothesis.component_scores:
        fields["component_scores"] = dict(hypothesis.component_scores)
    return fields


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    check_writable(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as raw:
            with _packed(raw, path) as lines:
                yield lines
            raw.flush()
            os.fsync(raw.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise LorbError(f"{path}: cannot be written: {error.strerror or error}", field=str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _packed(raw: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    if path.suffix != ".gz":
        yield raw
        return
    # Neither name nor time in the header: equal lists, equal bytes.
    with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
        yield cast(BinaryIO, packed)

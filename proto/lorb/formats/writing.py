"""Writes N-best lists in the native format, atomically."""

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
    """Writes lists, or records in the native shape, as JSON lines. Returns the number of records.

    The file is compressed with gzip if its name ends in .gz. The lines go to a temporary file beside `path`, which is
    renamed to `path` at the end. If writing fails, or `records` raises an error, `path` is unchanged. Equal records
    give equal bytes.

    Raises:
        InvalidInput: no file can be written at `path`.
        LorbError: writing fails later, for instance on a full disk.
    """
    num_records = 0
    with _atomic_file(path) as lines:
        for record in records:
            lines.write(native_line(record))
            num_records += 1
    return num_records


def native_line(record: NBest | Mapping[str, object]) -> bytes:
    """Returns one line of a native file, with its line end."""
    fields = native_record(record) if isinstance(record, NBest) else record
    try:
        return json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # a field that no check reads holds a lone surrogate: JSON can escape it
        return json.dumps(fields).encode("ascii") + b"\n"


def native_record(nbest: NBest) -> dict[str, object]:
    """Converts a list to the native shape. Leaves out empty fields."""
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
    """Checks, before long work begins, that a file can be written at `path`. Raises InvalidInput."""
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
def _atomic_file(path: Path) -> Iterator[BinaryIO]:
    check_writable(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as raw:
            with _compressed(raw, path) as lines:
                yield lines
            raw.flush()
            os.fsync(raw.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise LorbError(f"{path}: cannot be written: {error.strerror or error}", field=str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _compressed(raw: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    if path.suffix != ".gz":
        yield raw
        return
    # The gzip header gets no file name and no time, so that equal lists give equal bytes.
    with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as compressed:
        yield cast(BinaryIO, compressed)

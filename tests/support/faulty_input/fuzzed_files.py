"""Edited N-best files for the readers: each must be read, or refused with its file and line."""

import gzip
import shutil
from contextlib import suppress
from pathlib import Path

from hypothesis import strategies as st

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats import native_line
from lorb.ranked import RescoreOptions
from lorb.wire import request_from_nbest
from support.faulty_input.mutations import edited, edits
from support.lists.formats_as_written import FOLDER, SAMPLES, Sample

REFERENCES = tuple(FOLDER / "references" / name for name in ("text", "ref.trn"))


def _files(sample: Sample) -> list[Path]:
    """Returns the files that a reading may open: all files in the sample's folder."""
    folder = sample.path if sample.path.is_dir() else sample.path.parent
    return sorted(path for path in folder.rglob("*") if path.is_file())


cases = st.one_of(
    *(st.tuples(st.just(sample), st.sampled_from(_files(sample)), edits, st.booleans()) for sample in SAMPLES)
)
reference_cases = st.tuples(st.sampled_from(REFERENCES), edits)


def read_edited(folder: Path, sample: Sample, file: Path, changes: list, named: bool) -> str:
    """Reads a copy with one edited file. Returns "read" or "refused"; raises any other exception of the reader."""
    root = sample.path if sample.path.is_dir() else sample.path.parent
    copy = folder / str(sample)
    if not copy.exists():
        shutil.copytree(root, copy)
    content = file.read_bytes()
    inside = file.suffix == ".gz" and len(changes) % 2 == 0  # half of the time the uncompressed content is edited
    changed = gzip.compress(edited(gzip.decompress(content), changes)) if inside else edited(content, changes)
    (copy / file.relative_to(root)).write_bytes(changed)
    try:
        format_name = {"format": sample.format} if named else {}
        records, _ = sample.read(copy / sample.path.relative_to(root), **format_name)
    except InvalidInput as error:
        _check(error, str(copy))
        return "refused"
    finally:
        (copy / file.relative_to(root)).write_bytes(content)
    for record in records:  # records can be sent and written
        with suppress(InvalidInput):
            request_from_nbest(record.nbest, RescoreOptions()).SerializeToString()
        native_line(record.fields)
    return "read"


def read_edited_references(folder: Path, file: Path, changes: list) -> str:
    """Reads a sample with an edited file of references. Returns "read" or "refused"."""
    copy = folder / file.name
    copy.write_bytes(edited(file.read_bytes(), changes))
    lists = FOLDER / "vosk" / "recording.json"
    try:
        Sample("vosk", str(lists), {"reference_texts": (copy,)}).read(lists)
    except MalformedFile as error:
        _check(error, str(copy) if error.path != str(lists) else str(lists))
        return "refused"
    return "read"


def _check(error: InvalidInput, place: str) -> None:
    """Checks that the message begins with file and line, or names the option that the format needs."""
    if isinstance(error, MalformedFile):
        assert error.path.startswith(place), error.message
        assert error.message.startswith(f"{error.path}:"), error.message
        assert error.line >= 0
    else:
        assert place in error.message or "--" in error.message, error.message

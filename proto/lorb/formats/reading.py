"""Reads files of N-best lists in any supported format, and checks ids and references across lists."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats.cloud.aws import read_aws
from lorb.formats.cloud.azure import read_azure
from lorb.formats.cloud.google import read_google
from lorb.formats.detection import detected_format
from lorb.formats.native import read_native
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.record import ListRecord
from lorb.formats.references import References
from lorb.formats.toolkits.espnet1 import read_espnet1
from lorb.formats.toolkits.espnet2 import read_espnet2
from lorb.formats.toolkits.huggingface import read_huggingface
from lorb.formats.toolkits.hyporadise import read_hyporadise
from lorb.formats.toolkits.kaldi import read_kaldi
from lorb.formats.toolkits.mlm_scoring import read_mlm_scoring
from lorb.formats.toolkits.nemo import read_nemo
from lorb.formats.toolkits.srilm import read_srilm
from lorb.formats.toolkits.vosk import read_vosk
from lorb.nbest import NBest

Reader = Callable[[Path, FormatOptions, Notices], Iterator[ListRecord]]

_READERS: Mapping[str, Reader] = {
    "native": read_native,
    "mlm-scoring": read_mlm_scoring,
    "hyporadise": read_hyporadise,
    "espnet1": read_espnet1,
    "espnet2": read_espnet2,
    "kaldi": read_kaldi,
    "nemo": read_nemo,
    "srilm": read_srilm,
    "aws": read_aws,
    "google": read_google,
    "azure": read_azure,
    "huggingface": read_huggingface,
    "vosk": read_vosk,
}
AUTO = "auto"
FORMATS = (AUTO, *_READERS)


def read_nbest_lists(
    paths: Sequence[Path],
    *,
    format: str = AUTO,  # noqa: A002 - the name of the flag
    options: FormatOptions | None = None,
    notices: Notices | None = None,
    require_references: bool = False,
    unique_ids: bool = True,
) -> list[NBest]:
    """Reads the lists of all files, in order.

    Args:
        paths: files, or folders if the format uses folders.
        format: format of all files, one of FORMATS; "auto" detects the format of each file.
        options: facts that the files do not hold.
        notices: counts what the readers changed, assumed or left out.
        require_references: raise if a list has no reference.
        unique_ids: raise if an id is repeated.

    Raises:
        MalformedFile: a file violates its format, has no lists, lacks a required reference, or repeats an id. The
            error names the file and the line.
        InvalidInput: `format` is not one of FORMATS, or an option that the format needs is missing.
    """
    records = iterate_list_records(
        paths,
        format=format,
        options=options,
        notices=notices,
        require_references=require_references,
        unique_ids=unique_ids,
    )
    return [record.nbest for record in records]


def read_list_records(
    paths: Sequence[Path],
    *,
    format: str = AUTO,  # noqa: A002 - the name of the flag
    options: FormatOptions | None = None,
    notices: Notices | None = None,
    require_references: bool = False,
    require_lists: bool = False,
) -> list[ListRecord]:
    """Reads the lists of all files, in order, with all fields of the files.

    Args:
        paths: files, or folders if the format uses folders.
        format: format of all files, one of FORMATS; "auto" detects the format of each file.
        options: facts that the files do not hold.
        notices: counts what the readers changed, assumed or left out.
        require_references: raise if a list has no reference.
        require_lists: raise if a reference of `options.reference_texts` has no list.

    Raises:
        MalformedFile: a file violates its format, has no lists, lacks a required reference, or repeats an id. The
            error names the file and the line.
        InvalidInput: `format` is not one of FORMATS, or an option that the format needs is missing.
    """
    return list(
        iterate_list_records(
            paths,
            format=format,
            options=options,
            notices=notices,
            require_references=require_references,
            require_lists=require_lists,
        )
    )


def iterate_list_records(
    paths: Sequence[Path],
    *,
    format: str = AUTO,  # noqa: A002 - the name of the flag
    options: FormatOptions | None = None,
    notices: Notices | None = None,
    require_references: bool = False,
    require_lists: bool = False,
    unique_ids: bool = True,
) -> Iterator[ListRecord]:
    """Yields the lists of all files, in order, with all fields of the files.

    Formats with one list per line are streamed; a JSON document is read into memory first.

    Args:
        paths: files, or folders if the format uses folders.
        format: format of all files, one of FORMATS; "auto" detects the format of each file.
        options: facts that the files do not hold.
        notices: counts what the readers changed, assumed or left out. The counts are complete after the last list.
        require_references: raise if a list has no reference.
        require_lists: raise if a reference of `options.reference_texts` has no list.
        unique_ids: raise if an id is repeated, within a file or across files.

    Raises:
        MalformedFile: a file violates its format, has no lists, lacks a required reference, or repeats an id. The
            error names the file and the line.
        InvalidInput: `format` is not one of FORMATS, or an option that the format needs is missing.
    """
    if format not in FORMATS:
        raise InvalidInput(f"format {format!r} is not one of {', '.join(FORMATS)}", field="format")
    options, notices = options or FormatOptions(), notices or Notices()
    references = References.read(options.reference_texts) if options.reference_texts else None
    first_seen: dict[str, tuple[Path, int]] = {}
    for path in paths:
        is_empty = True
        for record in _reader(path, format, notices)(path, options, notices):
            checked = record if references is None else references.apply_to(record)
            if unique_ids:
                _check_unique(checked, first_seen)
            if require_references:
                _check_has_reference(checked)
            first_seen[checked.nbest.id] = (checked.path, checked.line)
            is_empty = False
            yield checked
        if is_empty:
            raise MalformedFile(path, 0 if path.is_dir() else 1, "the file holds no lists")
    if references is not None and require_lists:
        _check_has_lists(references, first_seen)


def _reader(path: Path, format_name: str, notices: Notices) -> Reader:
    if format_name != AUTO:
        return _READERS[format_name]
    detected = detected_format(path, ", ".join(_READERS))
    if detected != "native":
        notices.add(f"files or folders read as {detected}")
    return _READERS[detected]


def _check_unique(record: ListRecord, first_seen: Mapping[str, tuple[Path, int]]) -> None:
    list_id = record.nbest.id
    if list_id in first_seen:
        path, line = first_seen[list_id]
        raise MalformedFile(record.path, record.line, f"id {list_id!r} is repeated: first at {path}:{line}")


def _check_has_reference(record: ListRecord) -> None:
    if record.nbest.reference is None:
        raise MalformedFile(record.path, record.line, f"list {record.nbest.id!r} has no reference")


def _check_has_lists(references: References, list_ids: Mapping[str, object]) -> None:
    missing = [utterance for utterance in references.texts if utterance not in list_ids]
    if missing:
        raise MalformedFile(
            references.paths[0],
            0,
            f"{len(missing)} references have no list, such as {missing[0]!r}: "
            "without these lists the word error rate would be too low",
        )

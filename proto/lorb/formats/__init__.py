"""Reads and writes files of N-best lists, plain or gzip. MalformedFile names the file and the line."""

from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.reading import FORMATS, iterate_list_records, read_list_records, read_nbest_lists
from lorb.formats.record import ListRecord
from lorb.formats.writing import check_writable, native_line, native_record, write_native

__all__ = [
    "FORMATS",
    "FormatOptions",
    "ListRecord",
    "Notices",
    "check_writable",
    "iterate_list_records",
    "native_line",
    "native_record",
    "read_list_records",
    "read_nbest_lists",
    "write_native",
]

"""Generates the page of the protocol from the services, messages, enums and comments of proto/lorb/v1."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from google.rpc import status_pb2
from grpc_tools import protoc

PROTO = Path(__file__).parents[2] / "proto"
FILES = ("lorb/v1/rescoring.proto", "lorb/v1/admin.proto")
_PACKAGE = ".lorb.v1."
# Field numbers in the messages of descriptor.proto. The path of a comment consists of them.
_MESSAGE, _ENUM, _SERVICE, _FIELD, _NESTED, _VALUE, _METHOD = 4, 5, 6, 2, 3, 2, 2
_SYNTAX = 12
_REPEATED = FieldDescriptorProto.LABEL_REPEATED

Comments = dict[tuple[int, ...], str]


def page() -> str:
    """Returns the page in Markdown."""
    parts = [
        "# Protocol",
        "This page is generated from the comments in `proto/lorb/v1/rescoring.proto` and `proto/lorb/v1/admin.proto`; "
        "the wheel contains both files. The package is `lorb.v1`. An `optional` field distinguishes absence from 0.",
    ]
    for file in _file_descriptors():
        parts += _file(file)
    return "\n\n".join(parts) + "\n"


def _file_descriptors() -> list[FileDescriptorProto]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "descriptors"
        includes = (PROTO, Path(protoc.__file__).parent / "_proto", Path(status_pb2.__file__).parents[2])
        arguments = [
            "protoc",
            *(f"-I{path}" for path in includes),
            "--include_source_info",
            f"--descriptor_set_out={out}",
        ]
        if protoc.main([*arguments, *FILES]):
            raise RuntimeError("protoc refused the files of proto/lorb/v1")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments = {tuple(location.path): location.leading_comments.strip() for location in file.source_code_info.location}
    yield f"## {file.name}"
    yield comments.get((_SYNTAX,), "")
    for number, service in enumerate(file.service):
        yield from _service(service, (_SERVICE, number), comments)
    for number, message in enumerate(file.message_type):
        yield from _message(message, (_MESSAGE, number), comments)
    for number, enum in enumerate(file.enum_type):
        yield from _enum(enum, (_ENUM, number), comments)


def _service(service: ServiceDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield _heading(service.name)
    yield comments.get(path, "")
    rows = (
        (
            f"`{method.name}`",
            f"{_link(method.input_type)} → {_link(method.output_type)}",
            comments.get((*path, _METHOD, number), ""),
        )
        for number, method in enumerate(service.method)
    )
    yield _table(("call", "request → response", ""), rows)


def _message(message: DescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield _heading(message.name)
    yield comments.get(path, "")
    if message.field:
        rows = (
            (f"`{field.name}`", str(field.number), _type(field, message), comments.get((*path, _FIELD, number), ""))
            for number, field in enumerate(message.field)
        )
        yield _table(("field", "number", "type", ""), rows)


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield _heading(enum.name)
    yield comments.get(path, "")
    rows = (
        (f"`{value.name}`", str(value.number), comments.get((*path, _VALUE, number), ""))
        for number, value in enumerate(enum.value)
    )
    yield _table(("value", "number", ""), rows)


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = (_type(each, entry) for each in entry.field)
        return f"map of {key} to {value}"
    name = _link(field.type_name) if field.type_name else _scalar(field)
    if field.label == _REPEATED:
        return f"repeated {name}"
    if field.proto3_optional:
        return f"optional {name}"
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return f"{name}, one of `{oneof}`" if oneof else name


def _scalar(field: FieldDescriptorProto) -> str:
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _link(type_name: str) -> str:
    name = type_name.removeprefix(_PACKAGE)
    return f"[{name}](#{name.lower()})" if type_name.startswith(_PACKAGE) else f"`{type_name.removeprefix('.')}`"


def _heading(name: str) -> str:
    return f"### {name} {{ #{name.lower()} }}"


def _table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )

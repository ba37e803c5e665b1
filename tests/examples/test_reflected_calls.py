"""The grpcurl and ghz lines of the documentation, made by a client that knows no more than reflection tells it."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support.servers.serving import WAIT_SECONDS

ROOT = Path(__file__).parents[2]
TOOLS = {"grpcurl", "ghz"}
BARE_FLAGS = {"-plaintext", "--insecure"}
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class DocumentedCall:
    """One call of a documentation file: what it is sent to, the method and the JSON."""

    target: str
    method: str
    fields: dict


def documented_calls(file):
    """The calls of a file's code blocks that a tool makes."""
    blocks = BLOCK.findall((ROOT / file).read_text())
    commands = [shlex.split(block.replace("\\\n", " ")) for block in blocks if block.split(maxsplit=1)[0] in TOOLS]
    return [parsed(words) for words in commands]


def parsed(words):
    """A command line's call."""
    flags, positional, rest = {}, [], iter(words[1:])
    for word in rest:
        if word.startswith("-"):
            flags[word.lstrip("-")] = word in BARE_FLAGS or next(rest)
        else:
            positional.append(word)
    said = flags.get("d") or flags.get("data") or "{}"
    fields = json.loads(said.replace("{{.RequestNumber}}", "0"))  # ghz fills its templates in
    if words[0] == "ghz":
        service, _, method = flags["call"].rpartition(".")
        return DocumentedCall(positional[0], f"{service}/{method}", fields)
    return DocumentedCall(positional[0], positional[1], fields)


CALLS = [(file, call) for file in ("README.md", "examples/README.md") for call in documented_calls(file)]


def made(channel, call):
    """The answer to a call, with messages and method built from what the server's reflection says."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service, _, name = call.method.partition("/")
    method = pool.FindServiceByName(service).methods_by_name[name]
    request = json_format.ParseDict(call.fields, GetMessageClass(method.input_type)())
    invoke = channel.unary_unary(
        f"/{call.method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    return json_format.MessageToDict(invoke(request, timeout=WAIT_SECONDS), preserving_proto_field_name=True)


@pytest.mark.parametrize(("file", "call"), CALLS, ids=[f"{file}:{call.method}" for file, call in CALLS])
def test_a_documented_call_works_through_reflection(server, file, call):
    """The JSON fits the reflected message, the method exists where it is called, and the answer is a good one."""
    answer = made(server.channel, call)
    assert call.target == "localhost:50051"
    if call.method.endswith("/Rescore"):
        assert answer["outcome"] == "OUTCOME_RESCORED"
        sent = [hypothesis["transcript"] for hypothesis in call.fields["hypotheses"]]
        assert sorted(one["transcript"] for one in answer["hypotheses"]) == sorted(sent)
    elif call.method.endswith("/GetServerInfo"):
        assert answer["domains"] == ["librispeech"]
    else:
        assert answer == {"status": "SERVING"}


def test_every_kind_of_line_is_documented():
    """Both tools have their Rescore, and the README has one of them."""
    rescores = [file for file, call in CALLS if call.method == "lorb.v1.RescoringService/Rescore"]
    assert "README.md" in rescores
    assert rescores.count("examples/README.md") == 2


def test_a_field_that_the_contract_lacks_is_noticed(server):
    """The check fails where documentation and contract part ways."""
    [call, *_] = (call for _, call in CALLS if call.method.endswith("/Rescore"))
    wrong = DocumentedCall(call.target, call.method, {**call.fields, "n_best": []})
    with pytest.raises(json_format.ParseError, match="n_best"):
        made(server.channel, wrong)

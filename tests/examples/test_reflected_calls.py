"""Makes the calls of the documented grpcurl and ghz lines, with messages from the server's reflection service."""

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
    """One call of a documentation file: target, method and JSON fields."""

    target: str
    method: str
    fields: dict


def documented_calls(file):
    """Returns the calls that grpcurl and ghz make in the code blocks of a file."""
    blocks = BLOCK.findall((ROOT / file).read_text())
    commands = [shlex.split(block.replace("\\\n", " ")) for block in blocks if block.split(maxsplit=1)[0] in TOOLS]
    return [parsed(words) for words in commands]


def parsed(words):
    """Parses the words of a command line into a call."""
    flags, positional, rest = {}, [], iter(words[1:])
    for word in rest:
        if word.startswith("-"):
            flags[word.lstrip("-")] = word in BARE_FLAGS or next(rest)
        else:
            positional.append(word)
    data = flags.get("d") or flags.get("data") or "{}"
    fields = json.loads(data.replace("{{.RequestNumber}}", "0"))  # ghz replaces its templates
    if words[0] == "ghz":
        service, _, method = flags["call"].rpartition(".")
        return DocumentedCall(positional[0], f"{service}/{method}", fields)
    return DocumentedCall(positional[0], positional[1], fields)


CALLS = [(file, call) for file in ("README.md", "examples/README.md") for call in documented_calls(file)]


def make_call(channel, call):
    """Makes a call with messages and a method from the server's reflection service; returns the answer as a dict."""
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
    """The JSON matches the reflected message, the method exists, and the answer has the expected content."""
    answer = make_call(server.channel, call)
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
    """examples/README.md calls Rescore with both tools, and README.md calls it too."""
    rescores = [file for file, call in CALLS if call.method == "lorb.v1.RescoringService/Rescore"]
    assert "README.md" in rescores
    assert rescores.count("examples/README.md") == 2


def test_an_unknown_field_is_an_error(server):
    """A documented call with a field that the protocol does not have fails the check."""
    [call, *_] = (call for _, call in CALLS if call.method.endswith("/Rescore"))
    wrong = DocumentedCall(call.target, call.method, {**call.fields, "n_best": []})
    with pytest.raises(json_format.ParseError, match="n_best"):
        make_call(server.channel, wrong)

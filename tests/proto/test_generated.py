"""The committed protobuf code equals what the schema generates."""

import importlib.util
import re
from pathlib import Path

import pytest

PROTO = Path(__file__).parents[2] / "proto"
PYPROJECT = PROTO.parent / "pyproject.toml"
GENERATED = sorted(path.name for path in (PROTO / "lorb" / "v1").glob("*_pb2*"))


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory):
    """Output folder of a new run of proto/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", PROTO / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    output = tmp_path_factory.mktemp("generated")
    assert generate.generate(output) == 0
    return output / "lorb" / "v1"


def test_the_schema_generates_the_committed_files(regenerated):
    """The generated files are exactly the committed ones."""
    assert sorted(path.name for path in regenerated.iterdir()) == GENERATED
    assert len(GENERATED) == 6


@pytest.mark.parametrize("name", GENERATED)
def test_committed_code_equals_generated_code(regenerated, name):
    """Each committed file equals the generated file."""
    assert (PROTO / "lorb" / "v1" / name).read_text() == (regenerated / name).read_text()


def test_the_requirements_name_the_versions_that_the_code_needs():
    """pyproject.toml requires at least the grpcio and protobuf versions that the generated code needs."""
    floors = dict(re.findall(r'"(grpcio|protobuf)>=([0-9.]+)"', PYPROJECT.read_text()))
    stub = (PROTO / "lorb" / "v1" / "rescoring_pb2_grpc.py").read_text()
    message = (PROTO / "lorb" / "v1" / "rescoring_pb2.py").read_text()
    assert _numbers(floors["grpcio"]) >= _numbers(re.search(r"GRPC_GENERATED_VERSION = '([0-9.]+)'", stub)[1])
    assert _numbers(floors["protobuf"]) >= _numbers(re.search(r"Protobuf Python Version: ([0-9.]+)", message)[1])


def _numbers(version):
    return tuple(int(part) for part in [*version.split("."), "0", "0"][:3])

"""Regenerates the protobuf code beside the .proto files. For developers (`make proto`); not shipped."""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

SOURCE_ROOT = Path(__file__).parent
SCHEMAS = ("lorb/v1/rescoring.proto", "lorb/v1/admin.proto")


def generate(output_root: Path) -> int:
    """Writes `*_pb2.py`, `*_pb2.pyi` and `*_pb2_grpc.py` under `output_root`. Returns protoc's exit status.

    File path, import path and proto package are equal, so the stubs import each other without rewriting.
    """
    from google import rpc  # installed by googleapis-common-protos

    common_protos = Path(next(iter(rpc.__path__))).parents[1]
    well_known = resources.files("grpc_tools") / "_proto"
    return int(
        protoc.main(
            [
                "protoc",
                f"-I{SOURCE_ROOT}",
                f"-I{common_protos}",
                f"-I{well_known}",
                f"--python_out={output_root}",
                f"--pyi_out={output_root}",
                f"--grpc_python_out={output_root}",
                *SCHEMAS,
            ]
        )
    )


if __name__ == "__main__":
    sys.exit(generate(SOURCE_ROOT))

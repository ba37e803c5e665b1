"""Helpers for tests of the admin service: statuses of refused calls, and broken files in a store."""

from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from support.servers.serving import WAIT_SECONDS


def refused_status(call, message):
    """The code and reason that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=WAIT_SECONDS)
    status = rpc_status.from_call(caught.value)
    info = ErrorInfo()
    assert any(packed.Unpack(info) for packed in status.details)
    return caught.value.code(), info.reason


def break_file(store, domain, version, name="head.safetensors"):
    """Changes one byte of a published file."""
    path = Path(store.url) / domain / "versions" / version / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))

"""Asks a server how it is, for health checks of containers: exit status 0 means SERVING."""

import argparse
import sys
from collections.abc import Sequence

import grpc

from lorb.command import add_common_arguments
from lorb_client.channel import SERVICE

_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}


def is_serving(target: str, service: str = SERVICE, *, timeout_seconds: float = 2.0) -> bool:
    """Whether `service` at `target` ("host:port") reports SERVING within the time.

    Spoken in bytes: the messages of grpc.health.v1 have one field each, and the client's install stays without the
    health package.
    """
    request = b"\x0a" + bytes([len(service)]) + service.encode()  # HealthCheckRequest{service}
    with grpc.insecure_channel(target) as channel:
        check = channel.unary_unary(_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            return bool(check(request, timeout=timeout_seconds) == _SERVING)
        except grpc.RpcError:
            return False


def main(argv: Sequence[str] | None = None) -> int:
    """`lorb-health HOST:PORT [SERVICE]`."""
    args = parser().parse_args(argv)
    return 0 if is_serving(args.target, args.service) else 1


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(prog="lorb-health", description=__doc__)
    made.add_argument("target", metavar="HOST:PORT", help="the server, as localhost:50051")
    made.add_argument("service", nargs="?", metavar="SERVICE", default=SERVICE, help=f"which service ({SERVICE})")
    add_common_arguments(made)
    return made


if __name__ == "__main__":
    sys.exit(main())

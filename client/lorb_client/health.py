"""Asks a server how it is, for health checks of containers: exit status 0 means SERVING."""

import argparse
import sys
from collections.abc import Sequence

import grpc

from lorb.errors import LorbError
from lorb_cli.command import add_common_arguments
from lorb_client.access import add_tls_arguments, tls_from
from lorb_client.calls import CallSettings
from lorb_client.channel import SERVICE, open_channel
from lorb_client.exit_status import EXIT_FAILED, EXIT_MISUSED
from lorb_client.tls import Tls

_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}


def is_serving(target: str, service: str = SERVICE, *, timeout_seconds: float = 2.0, tls: Tls | None = None) -> bool:
    """Whether `service` at `target` ("host:port") reports SERVING within the time. No token is needed.

    Spoken in bytes: the messages of grpc.health.v1 have one field each, and the client's install stays without the
    health package. Raises InvalidInput where a file of `tls` does not hold what it should.
    """
    request = b"\x0a" + bytes([len(service)]) + service.encode()  # HealthCheckRequest{service}
    with open_channel(CallSettings(target, timeout_seconds, tls=tls), ()) as channel:
        check = channel.unary_unary(_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            return bool(check(request, timeout=timeout_seconds) == _SERVING)
        except grpc.RpcError:
            return False


def main(argv: Sequence[str] | None = None) -> int:
    """`lorb-health HOST:PORT [SERVICE]`."""
    args = parser().parse_args(argv)
    try:
        serves = is_serving(args.target, args.service, tls=tls_from(args))
    except LorbError as error:
        print(f"lorb-health: {error.message}", file=sys.stderr)  # noqa: T201 - a command's word
        return EXIT_MISUSED
    if not serves:
        print(f"lorb-health: {args.target} does not serve {args.service}", file=sys.stderr)  # noqa: T201
    return 0 if serves else EXIT_FAILED


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(prog="lorb-health", description=__doc__)
    made.add_argument("target", metavar="HOST:PORT", help="the server, as localhost:50051")
    made.add_argument("service", nargs="?", metavar="SERVICE", default=SERVICE, help=f"which service ({SERVICE})")
    add_tls_arguments(made)
    add_common_arguments(made)
    return made


if __name__ == "__main__":
    sys.exit(main())

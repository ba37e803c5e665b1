"""Checks the health of a server, for containers: exit status 0 if the server reports SERVING."""

import argparse
import sys
from collections.abc import Sequence

import grpc

from lorb.errors import LorbError
from lorb_cli.command import add_common_arguments
from lorb_client.access import Tls
from lorb_client.arguments import add_tls_arguments, tls_from_arguments
from lorb_client.calls import CallSettings
from lorb_client.channel import SERVICE, open_channel
from lorb_client.exit_status import EXIT_FAILED, EXIT_MISUSED

_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}
_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_TIMEOUT_SECONDS = 2.0


def is_serving(
    target: str, service: str = SERVICE, *, timeout_seconds: float = _TIMEOUT_SECONDS, tls: Tls | None = None
) -> bool:
    """Returns whether a service reports SERVING. Needs no token.

    Args:
        target: the server, "host:port".
        service: full name of the gRPC service.
        timeout_seconds: time limit of the check; a server that does not answer in time is not serving.
        tls: files of the TLS connection; None for plain text.

    Raises:
        InvalidInput: a file of `tls` is missing or wrong.
    """
    return _check(target, service, timeout_seconds, tls)[0]


def _check(target: str, service: str, timeout_seconds: float, tls: Tls | None) -> tuple[bool, str]:
    """Returns whether the service reports SERVING, and the server's words if it refuses to tell, else ""."""
    # The messages of grpc.health.v1 have one field each. They are encoded here, so that LoRB needs no further package.
    name = service.encode()
    request = b"\x0a" + _varint(len(name)) + name  # HealthCheckRequest{service}
    with open_channel(CallSettings(target, timeout_seconds, tls=tls), ()) as channel:
        check = channel.unary_unary(_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            return bool(check(request, timeout=timeout_seconds) == _SERVING), ""
        except grpc.RpcError as error:
            code = error.code()
            return False, f": {code.name}: {error.details()}" if code in _REFUSALS else ""


def _varint(number: int) -> bytes:
    """Encodes a number as a protobuf varint: 7 bits in each byte, the lowest first; bit 8 is set if a byte follows."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `lorb-health --target HOST:PORT [SERVICE]`. Returns its exit status."""
    command = parser()
    args = command.parse_args(argv)
    # the older spelling is `lorb-health HOST:PORT [SERVICE]`
    words = args.words if args.target is None else [args.target, *args.words]
    if not 1 <= len(words) <= 2:
        command.error("give --target HOST:PORT and at most one SERVICE")
    target, service = words[0], words[1] if len(words) == 2 else SERVICE
    try:
        serves, refusal = _check(target, service, _TIMEOUT_SECONDS, tls_from_arguments(args))
    except LorbError as error:
        print(f"lorb-health: {error.message}", file=sys.stderr)  # noqa: T201 - output of a command
        return EXIT_MISUSED
    if not serves:
        print(f"lorb-health: {target} does not serve {service}{refusal}", file=sys.stderr)  # noqa: T201
    return 0 if serves else EXIT_FAILED


def parser() -> argparse.ArgumentParser:
    """Returns the parser with all flags."""
    parser = argparse.ArgumentParser(
        prog="lorb-health", usage="lorb-health --target HOST:PORT [SERVICE] [option ...]", description=__doc__
    )
    parser.add_argument("--target", metavar="HOST:PORT", help="the server, such as localhost:50051")
    parser.add_argument("words", nargs="*", metavar="SERVICE", help=f"name of the gRPC service (default: {SERVICE})")
    add_tls_arguments(parser)
    add_common_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Creates gRPC servers with health and reflection, and binds each server to a port."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from lorb.errors import InvalidInput
from lorb.v1 import admin_pb2, rescoring_pb2
from lorb_server.config import ServeConfig
from lorb_server.file_limit import maximum_connections
from lorb_server.rpc.health import Health
from lorb_server.rpc.tls import CertificateSource, TlsFiles
from lorb_server.setting import flag
from lorb_server.telemetry.caller_metrics import CallerMetrics

RESCORING = rescoring_pb2.DESCRIPTOR.services_by_name["RescoringService"].full_name
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdapterAdminService"].full_name
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

# Callers keep idle connections alive by pings; gRPC's implementations allow one each 10 s and mostly send fewer. With
# half of that, a ping that the network delayed is not counted as one too many. gRPC's default is 300 s.
MIN_PING_INTERVAL_MS = 5 * 1000
# A peer that no longer answers, such as a machine without power, is disconnected after the sum of both.
_KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS = 60 * 1000, 20 * 1000
_HANDSHAKE_TIMEOUT_MS = 20 * 1000  # for TLS and the first HTTP/2 frame; gRPC's default is 120 s
_MAXIMUM_ADMIN_CONNECTIONS = 64
_AGE_GRACE_MS = 60 * 1000  # time for the calls in flight when their connection has reached its maximum age


def make_server(
    config: ServeConfig,
    service: str,
    health: Health,
    interceptors: tuple[grpc.aio.ServerInterceptor, ...] = (),
    *,
    shares_port: bool = False,
) -> grpc.aio.Server:
    """A server for `service` with health, and with reflection if it is enabled. It does not listen yet.

    With `shares_port`, other processes may listen on the same port, and each gets some of the connections. Otherwise
    a second server that binds the port fails; if it did not, it would silently take some of the calls. Connections
    beyond the limit of the process's open files are closed at once.
    """
    options = (
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),  # its default, 60 s, is what grpcio 1.85 waits otherwise
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_TIMEOUT_MS),
        (
            "grpc.max_allowed_incoming_connections",
            _MAXIMUM_ADMIN_CONNECTIONS if service == ADMIN else maximum_connections(),
        ),
        ("grpc.max_connection_age_ms", round(config.max_connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.so_reuseport", int(shares_port)),
    )
    server = grpc.aio.server(interceptors=interceptors, options=options)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if config.reflection:
        reflection.enable_server_reflection((service, HEALTH, reflection.SERVICE_NAME), server)
    return server


async def listen(
    server: grpc.aio.Server, host: str, port: int, field: str, tls: TlsFiles | None, metrics: CallerMetrics
) -> int:
    """Binds and starts `server`, without TLS if `tls` is None. Returns the port that was bound.

    Raises InvalidInput if the address is taken or invalid; this error names `field`, the setting of the port. Raises
    InvalidInput also if the TLS files are not usable.
    """
    address = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
    credentials = None if tls is None else CertificateSource(tls, metrics).credentials()
    try:
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise InvalidInput(
            f"{flag(field)} {port} on {host} cannot be bound: is another server on it?", field=field
        ) from error
    await server.start()
    return bound

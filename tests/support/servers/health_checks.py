"""Health checks over gRPC."""

from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.servers.serving import WAIT_SECONDS

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(channel, service=""):
    """The status of one service, or of the server."""
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_SECONDS).status

"""How a client's channel behaves: load balancing, retries, health, keepalive; and opening one."""

import json
from collections.abc import Mapping, Sequence

import grpc
from grpc import aio

from lorb_client.calls import CallSettings

Options = Sequence[tuple[str, int | str]]

SERVICE = "lorb.v1.RescoringService"

# Rescoring changes nothing on the server, so any call may be sent again. Only UNAVAILABLE is: to retry
# RESOURCE_EXHAUSTED inside a decoder's budget makes an overload worse.
SERVICE_CONFIG: Mapping[str, object] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": SERVICE},
    "methodConfig": [
        {
            "name": [{"service": SERVICE}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # A lost server fails all calls that it had at once, and each is to be tried elsewhere: half of these tokens are
    # as many as may fail together. Where nothing answers any more, retries end until calls succeed again.
    "retryThrottling": {"maxTokens": 200, "tokenRatio": 0.1},
}

CHANNEL_OPTIONS: Options = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    # Servers hang up on clients that ping too often without a call, so only calls are kept alive.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Names are looked up again whenever a connection ends, but no more often than this: gRPC's own 30 s would keep a
    # replica that has just come waiting where another has just gone.
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    # A server that comes back at its own address is found within these; gRPC's own 120 s is for the wide world.
    ("grpc.max_reconnect_backoff_ms", 10_000),
    # Requests beyond gRPC's own 256 KiB would be tried once only; servers take up to 4 MiB.
    ("grpc.per_rpc_retry_buffer_size", 4 * 2**20),
    # A batch's answer is larger than its request, which the server limits.
    ("grpc.max_receive_message_length", 32 * 2**20),
)


def open_channel(settings: CallSettings, options: Options = CHANNEL_OPTIONS) -> grpc.Channel:
    """A channel to where `settings` say. Raises InvalidInput where a file of `tls` does not hold what it should."""
    credentials, options = settings.channel_credentials(), (*options, *settings.channel_options)
    if credentials is None:
        return grpc.insecure_channel(settings.target, options)
    return grpc.secure_channel(settings.target, credentials, options)


def open_aio_channel(settings: CallSettings, options: Options = CHANNEL_OPTIONS) -> aio.Channel:
    """As open_channel, for the running event loop."""
    credentials, options = settings.channel_credentials(), (*options, *settings.channel_options)
    if credentials is None:
        return aio.insecure_channel(settings.target, options)
    return aio.secure_channel(settings.target, credentials, options)

"""Opens gRPC channels, with their load balancing, retries, health checks and keepalive."""

import json
from collections.abc import Mapping, Sequence

import grpc
from grpc import aio

from lorb_client.calls import CallSettings

Options = Sequence[tuple[str, int | str]]

SERVICE = "lorb.v1.RescoringService"

# Rescoring changes no state, so every call is safe to retry. Only UNAVAILABLE is retried: retrying RESOURCE_EXHAUSTED
# within a decoder's deadline makes an overload worse.
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
    # When a server dies, all its calls fail at once and should be retried elsewhere. gRPC allows this for up to
    # maxTokens / 2 failed calls. If no server answers, it stops retrying until calls succeed again.
    "retryThrottling": {"maxTokens": 200, "tokenRatio": 0.1},
}

CHANNEL_OPTIONS: Options = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    # A ping a minute, during calls only: a server accepts one every 5 s. Pings find a lost connection, and keep a
    # connection through firewalls that forget idle ones.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Minimum time between DNS look-ups, which follow every lost connection. With gRPC's default of 30 s, a new replica
    # could wait 30 s for calls after another replica has left.
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    # A restarted server is found within 10 s; gRPC's default of 120 s is meant for the public internet.
    ("grpc.max_reconnect_backoff_ms", 10_000),
    # gRPC retries only requests that fit into this buffer. Its default is 256 KiB; servers accept 4 MiB.
    ("grpc.per_rpc_retry_buffer_size", 4 * 2**20),
    # The response to a batch is larger than its request, which the server limits to 4 MiB.
    ("grpc.max_receive_message_length", 32 * 2**20),
)


def open_channel(settings: CallSettings, options: Options = CHANNEL_OPTIONS) -> grpc.Channel:
    """Opens a channel to the target. Raises InvalidInput if a TLS file is missing or wrong."""
    credentials, options = settings.channel_credentials(), (*options, *settings.channel_options)
    if credentials is None:
        return grpc.insecure_channel(settings.target, options)
    return grpc.secure_channel(settings.target, credentials, options)


def open_aio_channel(settings: CallSettings, options: Options = CHANNEL_OPTIONS) -> aio.Channel:
    """Opens an asyncio channel in the running event loop. Raises InvalidInput if a TLS file is missing or wrong."""
    credentials, options = settings.channel_credentials(), (*options, *settings.channel_options)
    if credentials is None:
        return aio.insecure_channel(settings.target, options)
    return aio.secure_channel(settings.target, credentials, options)

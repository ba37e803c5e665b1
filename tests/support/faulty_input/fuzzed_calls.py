"""Random and edited requests for a running server: each must get a proper status, and the server must survive."""

import errno
import socket

import grpc
from grpc_health.v1 import health_pb2
from hypothesis import strategies as st

from lorb.v1 import admin_pb2, rescoring_pb2
from support.faulty_input.mutations import edited, edits
from support.servers.serving import WAIT_SECONDS, RunningServer

_HYPOTHESES = [
    rescoring_pb2.Hypothesis(transcript="the cat sat", first_pass_score=-1.5, component_scores={"lm": -0.5}),
    rescoring_pb2.Hypothesis(transcript="the cat sad", first_pass_score=-2.5, component_scores={"lm": -0.7}),
]
_RESCORE = rescoring_pb2.RescoreRequest(
    request_id="u1",
    domain="voice",
    hypotheses=_HYPOTHESES,
    rescoring_weight=0.5,
    top_n=2,
    context="hm",
    routing_key="k",
)
_CALLS = "/lorb.v1.RescoringService/"
_ADMIN = "/lorb.v1.AdapterAdminService/"
SEEDS = (
    (_CALLS + "Rescore", _RESCORE),
    (_CALLS + "BatchRescore", rescoring_pb2.BatchRescoreRequest(requests=[_RESCORE, _RESCORE])),
    (_CALLS + "GetServerInfo", rescoring_pb2.GetServerInfoRequest()),
    (_ADMIN + "ListAdapters", admin_pb2.ListAdaptersRequest(domain="voice", page_size=3, page_token="voice@1")),
    (_ADMIN + "GetAdapter", admin_pb2.GetAdapterRequest(domain="voice", version="stable")),
    (
        _ADMIN + "SetAlias",
        admin_pb2.SetAliasRequest(domain="voice", alias="canary", version="1-0123456789ab", share=0.5),
    ),
    (_ADMIN + "Rollback", admin_pb2.RollbackRequest(domain="voice")),
    (_ADMIN + "UnloadAdapter", admin_pb2.UnloadAdapterRequest(domain="voice", version="1-0123456789ab")),
    (_ADMIN + "RefreshRegistry", admin_pb2.RefreshRegistryRequest()),
    ("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(service="lorb.v1.RescoringService")),
)
_seeds = st.sampled_from([(method, message.SerializeToString()) for method, message in SEEDS])
_edited = st.builds(lambda seed, changes: (seed[0], edited(seed[1], changes)), _seeds, edits)
_any = st.tuples(st.sampled_from([method for method, _ in SEEDS]), st.binary(max_size=300))
_scores = st.floats(allow_nan=True, allow_infinity=True) | st.none()
_texts = st.text(max_size=40) | st.sampled_from(["", "[SEP]", "a" * 5000, "\u0000", "\u202e abc", "e\u0301" * 200])


def _message(hypotheses, domain, weight, top_n, context, policy, selection):
    messages = [
        rescoring_pb2.Hypothesis(transcript=text, **({} if score is None else {"first_pass_score": score}))
        for text, score in hypotheses
    ]
    fields = {} if weight is None else {"rescoring_weight": weight}
    return rescoring_pb2.RescoreRequest(
        hypotheses=messages,
        domain=domain,
        top_n=top_n,
        context=context,
        fallback_policy=policy,
        selection=selection,
        **fields,
    ).SerializeToString()


_decodable = st.tuples(
    st.just(_CALLS + "Rescore"),
    st.builds(
        _message,
        st.lists(st.tuples(_texts, _scores), max_size=12),
        st.sampled_from(["voice", "", "voice@", "../x", "voice@stable", "tv", "voice@1-0123456789ab"])
        | st.text(max_size=20),
        _scores,
        st.integers(0, 2**32 - 1),
        _texts,
        st.integers(-(2**31), 2**31 - 1),
        st.integers(-(2**31), 2**31 - 1),
    ),
)
cases = st.one_of(_edited, _decodable, _any)

# gRPC itself refuses bytes that are no protobuf, before they reach the service.
UNDECODABLE = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
EXPECTED = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


def send(server: RunningServer, method: str, content: bytes) -> str:
    """Sends bytes unchanged and returns the status. Raises AssertionError for a status that shows a server bug."""
    channel = server.admin_channel if method.startswith(_ADMIN) else server.channel
    call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        call(content, timeout=WAIT_SECONDS)
        code, details = grpc.StatusCode.OK, ""
    except grpc.RpcError as error:
        code, details = error.code(), error.details()
    assert code in (UNDECODABLE if _is_undecodable(method, content) else EXPECTED), (method, code, details)
    return str(code.name)


def send_raw(server: RunningServer, content: bytes) -> None:
    """Opens a connection and sends bytes that may not be HTTP/2."""
    with socket.create_connection(("127.0.0.1", server.ports.port), timeout=WAIT_SECONDS) as connection:
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError as error:  # the server may close such a connection at any time, but not keep it open
            if error.errno not in (errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE):
                raise


def _is_undecodable(method: str, content: bytes) -> bool:
    kinds = {name: type(message) for name, message in SEEDS}
    try:
        kinds[method].FromString(content)
    except Exception:  # protobuf raises several types
        return True
    return False

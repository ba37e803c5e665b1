"""A real gRPC server without a model, which reverses lists or fails on request."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from lorb.error_status import status_code, status_from_error, trailing_metadata
from lorb.errors import LorbError
from lorb.ranked import AdapterRef, Outcome, Ranked, RankedHypothesis
from lorb.server_info import ServerInfo
from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from lorb.wire import (
    batch_result,
    nbest_from_request,
    options_from_request,
    response_from_info,
    response_from_ranked,
)

ADAPTER = AdapterRef("librispeech", "1-0123456789ab", "ab" * 32)
INFO = ServerInfo("0.1.0", "none", "cd" * 32, "cpu", "float32", ("librispeech",), "librispeech", 100, 2000, 5)


def reversed_ranking(nbest, options):
    """The list in reverse order, every hypothesis scored by its position."""
    size = len(nbest.hypotheses)
    order = range(size - 1, -1, -1)
    hypotheses = tuple(
        RankedHypothesis(i, nbest.hypotheses[i].transcript, float(i), i / 2, (i + 1) / size) for i in order
    )
    return Ranked(hypotheses[: options.top_n or None], Outcome.RESCORED, nbest.id, adapter=ADAPTER)


class ScriptedService(rescoring_pb2_grpc.RescoringServiceServicer):
    """Answers every list with `answer`; a LorbError that `answer` raises becomes a gRPC status, as on a real server.

    Attributes:
        answer: from (NBest, RescoreOptions) to Ranked.
        info: the answer to GetServerInfo.
        failures: errors for the next calls, one each.
        calls: (method, request, seconds left, metadata) of every call so far.
        release: calls wait for it; set unless a test holds them.
        arrived: set when the first call has arrived.
        ended: set when the first call has ended, answered or cancelled.
    """

    def __init__(self):
        self.answer = reversed_ranking
        self.info = INFO
        self.failures = []
        self.calls = []
        self.release = threading.Event()
        self.release.set()
        self.arrived = threading.Event()
        self._noted = threading.Condition()
        self.ended = threading.Event()

    def Rescore(self, request, context):  # noqa: N802 - the schema's name
        """Answers one list."""
        return self._answered("Rescore", request, context, lambda: response_from_ranked(self._ranked(request)))

    def BatchRescore(self, request, context):  # noqa: N802 - the schema's name
        """Answers many lists, each with its own result or error."""

        def answers():
            return pb.BatchRescoreResponse(results=[batch_result(self._result(each)) for each in request.requests])

        return self._answered("BatchRescore", request, context, answers)

    def GetServerInfo(self, request, context):  # noqa: N802 - the schema's name
        """Answers with `info`; never fails."""
        self._note("GetServerInfo", request, context)
        return response_from_info(self.info)

    def methods(self):
        """Returns the names of the methods called so far."""
        return [method for method, *_ in self.calls]

    def wait_for_calls(self, number):
        """Returns when `number` calls have arrived."""
        with self._noted:
            assert self._noted.wait_for(lambda: len(self.calls) >= number, timeout=60)

    def _answered(self, method, request, context, answers):
        self._note(method, request, context)
        context.add_callback(self.ended.set)
        self.arrived.set()
        self.release.wait()
        try:
            if self.failures:
                raise self.failures.pop(0)
            return answers()
        except LorbError as error:
            context.set_trailing_metadata(trailing_metadata(error))
            context.abort(status_code(error), status_from_error(error).message)

    def _note(self, method, request, context):
        metadata = dict(context.invocation_metadata())
        with self._noted:
            self.calls.append((method, request, context.time_remaining(), metadata))
            self._noted.notify_all()

    def _ranked(self, request):
        return self.answer(nbest_from_request(request), options_from_request(request))

    def _result(self, request):
        try:
            return self._ranked(request)
        except LorbError as error:
            return error


class Health(HealthServicer):
    """grpc_health's servicer, without its deadlock between a Watch that begins and one that ends."""

    def _on_close_callback(self, send_response_callback, service):
        # gRPC calls this with a lock that a beginning Watch needs, and the callback takes the servicer's lock, which
        # the beginning Watch holds: in a thread of its own it holds nothing while it waits.
        remove = super()._on_close_callback(send_response_callback, service)
        return lambda: threading.Thread(target=remove).start()


def healthy(status=health_pb2.HealthCheckResponse.SERVING):
    """A health service that reports `status` for the rescoring service."""
    health = Health()
    health.set("lorb.v1.RescoringService", status)
    return health


@contextmanager
def serving(service, address="127.0.0.1:0", *, health=None, credentials=None, threads=8):
    """Serves `service` and health with `threads` threads, over TLS with `credentials`; yields "host:port"."""
    server = grpc.server(ThreadPoolExecutor(threads), options=[("grpc.so_reuseport", 0)])
    rescoring_pb2_grpc.add_RescoringServiceServicer_to_server(service, server)
    health_pb2_grpc.add_HealthServicer_to_server(health or healthy(), server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        service.release.set()
        server.stop(0).wait()

"""Traces for OpenTelemetry, from the stamps that the metrics are made from. Off unless an endpoint is given.

One server span a call, under the caller's `traceparent` where there is one; under it the stages of its list: decode,
tokenise, queue, model, rank. A BatchRescore has one such set for each list, under a span of its own. No attribute holds
text: no transcript, no context, no id or key that a caller chose.

opentelemetry is imported by `open_tracing` alone, so that a server without it neither needs nor loads it.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeVar

from grpc import StatusCode

from lorb import __version__
from lorb.errors import InvalidInput, LorbError
from lorb.ranked import Ranked
from lorb.status import status_code
from lorb_server.call import Priority
from lorb_server.rpc.errors import Context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from lorb_server.rescoring.rescorer import Call

_SERVICE = "lorb.v1.RescoringService"
_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_FAREWELL_SECONDS = 5.0
_INSTALL = "pip install 'lorb[otel]'"

_log = logging.getLogger(__name__)
_epoch_offset_ns: ContextVar[int] = ContextVar("_epoch_offset_ns")  # of the call being served: wall less monotonic

Request = TypeVar("Request")
Response = TypeVar("Response")


class Traced(Protocol):
    """A servicer whose calls may be traced."""

    @property
    def tracing(self) -> "Tracing | None":
        """None where they are not."""


Servicer = TypeVar("Servicer", bound=Traced)


def traced(
    method: Callable[[Servicer, Request, Context], Awaitable[Response]],
) -> Callable[[Servicer, Request, Context], Awaitable[Response]]:
    """Makes a servicer's method a server span where its servicer has tracing."""

    @functools.wraps(method)
    async def serve(self: Servicer, request: Request, context: Context) -> Response:
        if self.tracing is None:
            return await method(self, request, context)
        with self.tracing.serving(method.__name__, context):
            return await method(self, request, context)

    return serve


class Tracing:
    """Makes spans and sends them from a thread of its own. Belongs to the event loop."""

    def __init__(self, exporter: "SpanExporter", environment: Mapping[str, str]) -> None:
        """Samplers, limits and the resource are what OTEL_* variables say, as for any program."""
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create(_resource_attributes(environment))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("lorb", __version__)
        self._trace = trace
        self._caller = TraceContextTextMapPropagator()

    @contextmanager
    def serving(self, method: str, context: Context) -> Iterator[None]:
        """The server span of one call; its error, if it ends with one, is the span's status."""
        token = _epoch_offset_ns.set(time.time_ns() - _nanoseconds(asyncio.get_running_loop().time()))
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        span = self._tracer.start_span(
            f"{_SERVICE}/{method}",
            self._caller.extract(headers),
            self._trace.SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": _SERVICE, "rpc.method": method},
        )
        code = StatusCode.UNKNOWN
        try:
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield
                code = StatusCode.OK
        except asyncio.CancelledError:
            code = StatusCode.CANCELLED
            raise
        except LorbError as error:
            code = status_code(error)
            raise
        finally:
            self._end_served(span, code)
            _epoch_offset_ns.reset(token)

    def record(self, call: "Call", ranked: Ranked, now: float) -> None:
        """Notes one answered list: its attributes, and a span a stage. `now`: seconds on the event loop's clock."""
        span = self._trace.get_current_span()
        if not span.is_recording():
            return
        own = None
        if call.lane is Priority.BATCH:
            own = span = self._tracer.start_span("list", start_time=_wall_ns(call.started_at))
        span.set_attributes(_attributes(call, ranked))
        parent = self._trace.set_span_in_context(span)
        for name, start, seconds in _stages(call, ranked, now):
            stage = self._tracer.start_span(name, parent, start_time=_wall_ns(start))
            stage.end(_wall_ns(start + seconds))
        if own is not None:
            own.end(_wall_ns(now))

    async def close(self) -> None:
        """Sends what is left, if that takes no longer than a few seconds."""
        farewell = threading.Thread(target=self._provider.shutdown, name="traces' end", daemon=True)
        farewell.start()
        await asyncio.to_thread(farewell.join, _FAREWELL_SECONDS)

    def _end_served(self, span: "Span", code: StatusCode) -> None:
        number, name = code.value
        span.set_attribute("rpc.grpc.status_code", number)
        if code is not StatusCode.OK:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, name))
        span.end()


def open_tracing(endpoint: str, environment: Mapping[str, str]) -> Tracing | None:
    """Tracing to `endpoint`, or to where OTEL_EXPORTER_OTLP_ENDPOINT says; None where neither does.

    Raises InvalidInput where `endpoint` is given and the packages are missing or it is no URL. Where only the
    environment asks for traces, and the packages are missing, a warning is all: the variable is often set for a whole
    cluster.
    """
    if not endpoint and not _environment_asks(environment):
        return None
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise InvalidInput(
            f"--otlp-endpoint {endpoint}: give a URL, as http://collector:4317 (plain) or https://collector:4317 (TLS)",
            field="otlp_endpoint",
        )
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    except ImportError:
        if endpoint:
            raise InvalidInput(f"--otlp-endpoint needs OpenTelemetry: {_INSTALL}", field="otlp_endpoint") from None
        _log.warning(f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but traces need OpenTelemetry: {_INSTALL}")
        return None
    return Tracing(OTLPSpanExporter(endpoint=endpoint or None), environment)


def _environment_asks(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(environment.get(variable) for variable in _ENDPOINT_VARIABLES)


def _resource_attributes(environment: Mapping[str, str]) -> dict[str, str]:
    attributes = {"service.version": __version__}
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = "lorb"
    return attributes


def _attributes(call: "Call", ranked: Ranked) -> dict[str, str | int]:
    """Counts and names of the server's own; nothing that a caller wrote."""
    attributes: dict[str, str | int] = {
        "lorb.domain": call.adapter.ref.domain,
        "lorb.adapter.version": call.adapter.ref.version,
        "lorb.outcome": ranked.outcome.value,
        "lorb.hypotheses": len(call.nbest.hypotheses),
        "lorb.distinct_hypotheses": len(call.distinct),
    }
    if ranked.fallback_reason is not None:
        attributes["lorb.fallback_reason"] = ranked.fallback_reason.value
    return attributes


def _stages(call: "Call", ranked: Ranked, now: float) -> Iterator[tuple[str, float, float]]:
    """Name, start and seconds of each stage that the list went through."""
    yield "decode", call.started_at, call.decoded_at - call.started_at
    timings = ranked.timings
    if not call.tokenize_seconds:
        return
    yield "tokenise", call.tokenized_at - call.tokenize_seconds, call.tokenize_seconds
    if timings.infer_seconds:
        yield "queue", call.tokenized_at, timings.queue_seconds
        yield "model", call.tokenized_at + timings.queue_seconds, timings.infer_seconds
    if call.scored_at is not None:
        yield "rank", call.scored_at, now - call.scored_at


def _wall_ns(seconds: float) -> int:
    return _nanoseconds(seconds) + _epoch_offset_ns.get()


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)

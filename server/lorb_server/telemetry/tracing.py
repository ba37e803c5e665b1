"""Sends OpenTelemetry traces of calls, if an endpoint is given.

Each Rescore or BatchRescore call has one server span. It is a child of the caller's span if the caller sent a
`traceparent`. In a Rescore call, the server span's children are the stages of the list: decode, tokenise, queue, model,
rank. In a BatchRescore call, the server span has one child for each list, and the children of a list's span are the
stages. No attribute holds a caller's text: no transcript, context, id or key.

Only `open_tracing` and `Tracing` import opentelemetry, so that a server without traces does not need it.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from grpc import StatusCode
from grpc.aio import ServicerContext

from lorb import __version__
from lorb.error_status import status_code
from lorb.errors import InvalidInput, LorbError
from lorb.ranked import Ranked
from lorb_server.call import Priority, RescoreCall

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_SERVICE = "lorb.v1.RescoringService"
_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_FLUSH_SECONDS = 5.0
_INSTALL = "pip install 'lorb[otel]'"

_log = logging.getLogger(__name__)

# Wall-clock time minus the event loop's time, at the start of the current call, in nanoseconds.
_epoch_offset_ns: ContextVar[int] = ContextVar("_epoch_offset_ns")


Request = TypeVar("Request")
Response = TypeVar("Response")
Context = ServicerContext[Any, Any]


class HasTracing(Protocol):
    """A servicer whose calls may be traced."""

    @property
    def tracing(self) -> "Tracing | None":
        """Records the servicer's calls; None if they are not traced."""


Servicer = TypeVar("Servicer", bound=HasTracing)


def traced(
    method: Callable[[Servicer, Request, Context], Awaitable[Response]],
) -> Callable[[Servicer, Request, Context], Awaitable[Response]]:
    """Decorates a servicer's method: if the servicer has tracing, each call is recorded as a server span."""

    @functools.wraps(method)
    async def serve(self: Servicer, request: Request, context: Context) -> Response:
        if self.tracing is None:
            return await method(self, request, context)
        with self.tracing.server_span(method.__name__, context):
            return await method(self, request, context)

    return serve


class Tracing:
    """Records spans, and exports them on a thread of its own. Belongs to the event loop."""

    def __init__(self, exporter: "SpanExporter", environment: Mapping[str, str]) -> None:
        """OpenTelemetry itself reads the sampler, the limits and the resource from the process's OTEL_* variables.

        If the variables in `environment` do not name the service, its name is "lorb".
        """
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
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def server_span(self, method: str, context: Context) -> Iterator[None]:
        """The server span of one call. If the call fails, the span gets the status of the call's error."""
        token = _epoch_offset_ns.set(time.time_ns() - _nanoseconds(asyncio.get_running_loop().time()))
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        span = self._tracer.start_span(
            f"{_SERVICE}/{method}",
            self._propagator.extract(headers),
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
            self._end_server_span(span, code)
            _epoch_offset_ns.reset(token)

    def record(self, call: RescoreCall, ranked: Ranked, now: float) -> None:
        """Records one answered list: its attributes and a span for each stage. `now` is on the event loop's clock."""
        span = self._trace.get_current_span()
        if not span.is_recording():
            return
        list_span = None
        if call.priority is Priority.BATCH:
            list_span = span = self._tracer.start_span("list", start_time=_wall_ns(call.started_at))
        span.set_attributes(_attributes(call, ranked))
        parent = self._trace.set_span_in_context(span)
        for name, start, seconds in _stages(call, ranked, now):
            stage = self._tracer.start_span(name, parent, start_time=_wall_ns(start))
            stage.end(_wall_ns(start + seconds))
        if list_span is not None:
            list_span.end(_wall_ns(now))

    async def close(self) -> None:
        """Exports the remaining spans, but waits for this only a few seconds."""
        flushing = threading.Thread(target=self._provider.shutdown, name="trace export", daemon=True)
        flushing.start()
        await asyncio.to_thread(flushing.join, _FLUSH_SECONDS)

    def _end_server_span(self, span: "Span", code: StatusCode) -> None:
        number, name = code.value
        span.set_attribute("rpc.grpc.status_code", number)
        if code is not StatusCode.OK:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, name))
        span.end()


def open_tracing(endpoint: str, environment: Mapping[str, str]) -> Tracing | None:
    """Returns tracing that exports to `endpoint`, or without `endpoint` to the endpoint in the OTEL_* variables.

    Returns None if neither is set, or if only the variables are set and they also disable traces. Raises InvalidInput
    if `endpoint` is not a URL, or if `endpoint` is set and opentelemetry is not installed. If only the variables are
    set and opentelemetry is not installed, logs a warning and returns None: a whole cluster often sets the variables.
    """
    if not endpoint and not _environment_enables(environment):
        return None
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise InvalidInput(
            f"--otlp-endpoint {endpoint} is not a URL: "
            "give one such as http://collector:4317 (plain text) or https://collector:4317 (TLS)",
            field="otlp_endpoint",
        )
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    except ImportError:
        if endpoint:
            raise InvalidInput(
                f"--otlp-endpoint needs OpenTelemetry, which is not installed: {_INSTALL}", field="otlp_endpoint"
            ) from None
        _log.warning(f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but traces need OpenTelemetry: {_INSTALL}")
        return None
    return Tracing(OTLPSpanExporter(endpoint=endpoint or None), environment)


def _environment_enables(environment: Mapping[str, str]) -> bool:
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


def _attributes(call: RescoreCall, ranked: Ranked) -> dict[str, str | int]:
    """The attributes of a list: counts, and names that the server chose. None holds a text that a caller wrote."""
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


def _stages(call: RescoreCall, ranked: Ranked, now: float) -> Iterator[tuple[str, float, float]]:
    """Yields (name, start, duration) for each stage that the list went through; both times are in seconds."""
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

"""How does a piece of work become a span at a collector?"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

TIMEOUT_SECONDS: Final = 5
MOST_WAITING: Final = 8_192
"""Spans that wait for the collector; when it is away for longer the rest is dropped."""
MOST_AT_ONCE: Final = 512
EVERY_MILLISECONDS: Final = 1_000
NANOSECONDS: Final = 1_000_000_000
SAMPLED: Final = 1


class Given(RandomIdGenerator):
    """Takes the ids of a traceparent that was given on before its span was made."""

    def __init__(self) -> None:
        self._own: ContextVar[SpanContext | None] = ContextVar("own", default=None)

    def generate_span_id(self) -> int:
        """The given one, else a new one."""
        own = self._own.get()
        return super().generate_span_id() if own is None else own.span_id

    def generate_trace_id(self) -> int:
        """The same of the trace."""
        own = self._own.get()
        return super().generate_trace_id() if own is None else own.trace_id

    @contextmanager
    def given(self, own: SpanContext | None) -> Iterator[None]:
        """A block in which these ids are given."""
        token = self._own.set(own)
        try:
            yield
        finally:
            self._own.reset(token)


class Spans:
    """Hands spans to the collector at `url`, in the background and many at once."""

    def __init__(self, service: str, url: str) -> None:
        self._ids = Given()
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}), id_generator=self._ids)
        exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=TIMEOUT_SECONDS)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter, max_queue_size=MOST_WAITING, schedule_delay_millis=EVERY_MILLISECONDS, max_export_batch_size=MOST_AT_ONCE
            )
        )
        self._tracer = self._provider.get_tracer("magasin")

    def tell(  # noqa: PLR0913 - as `infra.traces` has it
        self, name: str, *, began: float, ended: float, own: str | None, parent: str | None, attributes: dict[str, str | int]
    ) -> None:
        """One span; none where whoever began the trace wants none."""
        given = None if own is None else context_of(own)
        above = None if parent is None else context_of(parent)
        first = given or above
        if first is not None and not first.trace_flags & SAMPLED:
            return
        context = Context() if above is None else set_span_in_context(NonRecordingSpan(above), Context())
        with self._ids.given(given):
            span = self._tracer.start_span(
                name,
                context,
                kind=SpanKind.SERVER if given else SpanKind.CONSUMER,
                attributes=attributes,
                start_time=int(began * NANOSECONDS),
            )
        span.end(int(max(began, ended) * NANOSECONDS))

    def close(self) -> None:
        """Hand over what is left, as long as the collector takes it."""
        self._provider.shutdown()


def context_of(traceparent: str) -> SpanContext:
    """What a traceparent names: ``00-TRACE-SPAN-FLAGS``."""
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))

"""OpenTelemetry in a function, without a layer: each span goes to the daemon that Lambda runs for it.

With active tracing, Lambda sets `AWS_XRAY_DAEMON_ADDRESS`, and its daemon takes spans as datagrams, with the
permissions of the function's role. AWS's own distribution sends them in this way; it would bring 80 packages.

https://docs.aws.amazon.com/xray/latest/devguide/xray-sdk-migration.html
https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
"""

import base64
import logging
import os
import socket
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.propagators.aws.aws_xray_propagator import TRACE_HEADER_KEY
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Link, Span, Tracer, get_current_span

logger = logging.getLogger(__name__)

# A header, then `T1S` (spans of a sampled trace), then a request of OTLP in base64:
# https://github.com/aws-observability/aws-otel-python-instrumentation
_HEADER = b'{"format":"json","version":1}\nT1S'
_ANNOTATIONS = "aws.xray.annotations"


class DaemonExporter(SpanExporter):
    """Sends spans to the daemon. Nothing waits for it, and its failure is not the function's.

    Args:
        address: `host:port`.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans in one datagram."""
        try:
            self._socket.sendto(
                _HEADER + base64.b64encode(encode_spans(spans).SerializeToString()), self._address
            )
        except OSError as error:
            logger.warning("spans were lost", extra={"reason": str(error)})
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the socket."""
        self._socket.close()


def make_tracer() -> Tracer:
    """Trace every call of the AWS SDK from now on, and return what makes spans of your own.

    Whether a span is sent was decided where its trace began. A span is sent when it ends: after the response,
    Lambda may freeze the function, and what a batch holds back is late or lost.
    """
    service = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "unknown_service")
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), resource=Resource({"service.name": service}))
    if address := os.environ.get("AWS_XRAY_DAEMON_ADDRESS"):
        provider.add_span_processor(SimpleSpanProcessor(DaemonExporter(address)))
    # The runtime's botocore may have no metadata, with which the instrumentation would check its version.
    BotocoreInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)  # type: ignore[no-untyped-call]
    return provider.get_tracer(__name__)


def context_of(header: str) -> Context:
    """The place in a trace that a tracing header names."""
    return AwsXRayPropagator().extract({TRACE_HEADER_KEY: header}, context=Context())


def of_invocation() -> Context:
    """The place of this invocation: its variable differs from one to the next."""
    return context_of(os.environ.get("_X_AMZN_TRACE_ID", ""))


def link_to(context: Context) -> Link:
    """A link from a span to a place in another trace."""
    return Link(get_current_span(context).get_span_context())


def annotate(span: Span, **values: str | int | bool) -> None:
    """Set attributes that X-Ray can search for. It indexes what this list names, and no other attribute."""
    span.set_attributes({**values, _ANNOTATIONS: list(values)})

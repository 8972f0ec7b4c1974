"""Spans of OpenTelemetry become segments of X-Ray.

Faithful to: a span of the kind SERVER, or without a parent, is a segment with the name of the service, every
other one a subsegment; attributes are metadata, and annotations if `aws.xray.annotations` lists them; calls
of AWS SDKs with service, operation, request id, table and queue; status and exceptions; links.
Not to: other kinds of calls, such as HTTP and SQL, whose attributes are metadata only; resources other than
`service.name`; trace ids that begin with no time, which AWS accepts, too.

https://docs.aws.amazon.com/xray/latest/devguide/xray-sdk-migration.html
https://aws-otel.github.io/docs/getting-started/x-ray#otel-span-to-x-ray-segments-translation
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from localaws.services.xray.headers import new_id
from localaws.services.xray.segments import Document

_ANNOTATED = "aws.xray.annotations"
_NOT_IN_NAMES = re.compile(r"[^\w\s.:/%&#=+\\\-@]")
_NOT_IN_KEYS = re.compile(r"[^\w.]")


def documents(data: bytes) -> Iterator[Document]:
    """The documents of an export request in protobuf.

    Raises:
        ValueError: It is none.
    """
    # When the first spans come: this takes 15 ms.
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        request = ExportTraceServiceRequest.FromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from None
    for resource in request.resource_spans:
        service = _attributes(resource.resource.attributes).get("service.name", "unknown_service")
        for scope in resource.scope_spans:
            yield from (_document(span, str(service)) for span in scope.spans)


def _document(span: Any, service: str) -> Document:
    given = _attributes(span.attributes)
    parent = span.parent_span_id.hex()
    is_segment = span.kind == span.SPAN_KIND_SERVER or not parent
    is_call = given.get("rpc.system") == "aws-api"
    name = service if is_segment else str(given["rpc.service"]) if is_call else span.name
    found: Document = {
        "id": span.span_id.hex(),
        "trace_id": _trace_id(span.trace_id),
        "name": _NOT_IN_NAMES.sub("", name)[:200] or "span",
        "start_time": span.start_time_unix_nano / 1e9,
        "end_time": span.end_time_unix_nano / 1e9,
    }
    found |= {"parent_id": parent} if parent else {}
    found |= {} if is_segment else {"type": "subsegment"}
    if is_call:
        found |= {"namespace": "aws", "aws": _aws(given)}
    status = given.get("http.status_code", given.get("http.response.status_code"))
    if status:
        found["http"] = {"response": {"status": status}}
    found |= _failure(span, status)
    indexed = set(given.pop(_ANNOTATED, ()))
    annotations = {_NOT_IN_KEYS.sub("_", key): value for key, value in given.items() if key in indexed}
    metadata = {key: value for key, value in given.items() if key not in indexed}
    found |= {"annotations": annotations} if annotations else {}
    found |= {"metadata": {"default": metadata}} if metadata else {}
    links = [
        {
            "trace_id": _trace_id(link.trace_id),
            "id": link.span_id.hex(),
            "attributes": _attributes(link.attributes),
        }
        for link in span.links
    ]
    return found | ({"links": links} if links else {})


def _aws(given: dict[str, Any]) -> dict[str, Any]:
    tables = given.get("aws.dynamodb.table_names") or [None]
    found = {
        "operation": given.get("rpc.method"),
        "request_id": given.get("aws.request_id"),
        "table_name": tables[0],
        "queue_url": given.get("aws.queue_url"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _failure(span: Any, status: Any) -> dict[str, Any]:
    if span.status.code != span.status.STATUS_CODE_ERROR:
        return {}
    is_error = isinstance(status, int) and 400 <= status < 500
    found: dict[str, Any] = {"error" if is_error else "fault": True}
    found |= {"throttle": True} if status == 429 else {}
    raised = [_attributes(event.attributes) for event in span.events if event.name == "exception"]
    exceptions = [
        {"id": new_id(), "type": one.get("exception.type"), "message": one.get("exception.message")}
        for one in raised
    ]
    return found | ({"cause": {"exceptions": exceptions}} if exceptions else {})


def _trace_id(id: bytes) -> str:
    text = id.hex()
    return f"1-{text[:8]}-{text[8:]}"


def _attributes(given: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in given}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None

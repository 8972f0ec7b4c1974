"""Filter expressions, sampling rules and segment documents, as plain Python."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest

from localaws.services.xray import otlp, sampling
from localaws.services.xray.filters import InvalidExpression, View, compiled
from localaws.services.xray.headers import Context, parsed
from localaws.services.xray.sampling import Request, Rule
from localaws.services.xray.segments import Unprocessed, read

TRACE, ID = "1-6b09ff2b-37bca4aeb81ee8b7eb48fc6f", "53995c3f42cd8ad8"
SEGMENT: dict[str, Any] = {
    "id": ID,
    "trace_id": TRACE,
    "name": "shop/prod",
    "start_time": 10.0,
    "end_time": 12.5,
    "error": True,
    "user": "anna",
    "http": {
        "request": {"url": "https://x/orders", "method": "POST", "user_agent": "curl", "client_ip": "::1"},
        "response": {"status": 404},
    },
    "annotations": {"order": "a-1", "items": 3, "gift": True},
    "subsegments": [
        {"id": "1" * 16, "name": "DynamoDB", "start_time": 11.0, "end_time": 14.0, "fault": True}
    ],
}
VIEW = View([SEGMENT], [SEGMENT], partial=False, groups=lambda name: name == "mine")


@pytest.mark.parametrize(
    "selecting",
    [
        "",
        "error",
        "error = true",
        "error != false",
        "!ok",
        "ok = false",
        "!partial AND !throttle AND !fault",
        "responsetime = 2.5",
        "responsetime > 2 AND responsetime < 3",
        "duration >= 2.5 and duration <= 2.5",
        "http.status != 200",
        'http.url BEGINSWITH "https://x/" AND http.url ENDSWITH "orders" AND http.url CONTAINS "/or"',
        'http.method = "POST" AND http.useragent = "curl" AND http.clientip = "::1" AND user = "anna"',
        "annotation.order",
        'annotation.order = "a-1"',
        'annotation[order] != "b"',
        "annotation.items > 2",
        "annotation.gift = true",
        "ok OR (error AND annotation.gift)",
        'service("DynamoDB")',
        'service("DynamoDB") { fault AND responsetime > 2 }',
        '!service("SQS")',
        'group.name = "mine" AND group.name != "yours"',
    ],
)
def test_an_expression_selects_a_trace(selecting: str) -> None:
    assert compiled(selecting)(VIEW)


@pytest.mark.parametrize(
    "excluding",
    [
        "ok",
        "error = false",
        "ok OR fault",
        "responsetime < 1",
        'annotation.order = "A-1"',
        "annotation.order > 2",
        'annotation.items = "3"',
        "annotation.other",
        'user != "anna"',
        'service("DynamoDB") { ok }',
        'service("SQS")',
        'group.name = "yours"',
    ],
)
def test_an_expression_excludes_a_trace(excluding: str) -> None:
    assert not compiled(excluding)(VIEW)


@pytest.mark.parametrize(
    "invalid",
    [
        'edge("a", "b")',
        "error AND",
        "(error",
        "error error",
        "http.status",
        'http.status = "200"',
        "user = 3",
        'user > "a"',
        "responsetime CONTAINS 1",
        'annotation.order < "a"',
        "error = 1",
        "nonsense = 1",
        "service(3)",
        'service("a") { error',
        '"text"',
        "error & fault",
    ],
)
def test_what_is_no_expression_is_refused_by_name(invalid: str) -> None:
    with pytest.raises(InvalidExpression, match="Invalid filter expression"):
        compiled(invalid)


# --- Documents


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"trace_id": None}, "MissingTraceId"),
        ({"trace_id": "1-2-3"}, "InvalidTraceId"),
        ({"id": "X" * 16}, "InvalidId"),
        ({"name": ""}, "MissingName"),
        ({"name": "x" * 201}, "MissingName"),
        ({"start_time": "now"}, "InvalidTime"),
        ({"start_time": 10.0, "end_time": 9.0}, "InvalidTime"),
        ({"name": "a<b>"}, "InvalidName"),
        ({"end_time": None}, "InvalidTime"),
        ({"type": "subsegment"}, "MissingParentId"),
        ({"metadata": "x" * 70_000}, "InvalidSegment"),
    ],
)
def test_a_document_that_x_ray_does_not_accept(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(Unprocessed) as refused:
        read(json.dumps({**SEGMENT, **changed}))
    assert refused.value.code == code


def test_a_document_that_x_ray_accepts() -> None:
    assert read(json.dumps(SEGMENT)) == SEGMENT
    assert read(json.dumps({**SEGMENT, "end_time": None, "in_progress": True}))["in_progress"]
    for text in ("[]", "{", "nan"):
        with pytest.raises(Unprocessed):
            read(text)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"Root={TRACE};Parent={ID};Sampled=1;Lineage=1:a:0", Context(TRACE, ID, sampled=True)),
        (f"Sampled=0; Root={TRACE}", Context(TRACE, "", sampled=False)),
        (f"Root={TRACE};Sampled=?", Context(TRACE)),
        ("Root=1-x", None),
        ("", None),
    ],
)
def test_a_tracing_header(header: str, found: Context | None) -> None:
    assert parsed(header) == found
    assert found is None or parsed(found.header()) == found


# --- Sampling


ORDER = Request(
    "shop/prod", "AWS::ApiGateway::Stage", "arn:x", "api.example.com", "POST", "/orders", {"A": "b"}
)
EVERYTHING = dict.fromkeys(
    ("ServiceName", "ServiceType", "ResourceARN", "Host", "HTTPMethod", "URLPath"), "*"
)


@pytest.mark.parametrize(
    ("rule", "applies"),
    [
        ({}, True),
        ({"URLPath": "/ORD*", "HTTPMethod": "post", "Host": "*.example.???"}, True),
        ({"Attributes": {"a": "b"}}, True),
        ({"Attributes": {"a": "c"}}, False),
        ({"URLPath": "/order"}, False),
        ({"URLPath": "/orders.*"}, False),
        ({"ServiceType": "AWS::Lambda::Function"}, False),
        ({"ResourceARN": "arn:y"}, False),
    ],
)
def test_a_rule_matches_with_wildcards(rule: dict[str, Any], applies: bool) -> None:
    assert sampling.matches({**EVERYTHING, "Attributes": {}, **rule}, ORDER) is applies


def test_the_reservoir_of_each_second_comes_before_the_rate() -> None:
    rule = Rule({"ReservoirSize": 2, "FixedRate": 0.5})
    drawn = iter([0.4, 0.6, 0.5])
    decisions = [rule.samples(7.0, lambda: next(drawn)) for _ in range(5)]
    assert decisions == [True, True, True, False, False]
    assert rule.samples(8.0, lambda: 0.99)
    assert not Rule({"ReservoirSize": 0, "FixedRate": 0}).samples(7.0, lambda: 0.0)
    assert Rule({"ReservoirSize": 0, "FixedRate": 1}).samples(7.0, lambda: 0.999)


# --- Spans


def test_spans_become_segments_and_subsegments() -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    encoder = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.trace_encoder")
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Link, SpanKind

    ended: list[Any] = []

    processor: Any = sdk.SpanProcessor

    class Collecting(processor):  # type: ignore[misc]
        def on_end(self, span: Any) -> None:
            ended.append(span)

    provider = sdk.TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(Collecting())
    tracer = provider.get_tracer("test")
    other = tracer.start_span("other").get_span_context()
    with (
        contextlib.suppress(KeyError),
        tracer.start_as_current_span("order", kind=SpanKind.SERVER, links=[Link(other)]) as order,
    ):
        order.set_attributes({"id": "a", "size": 3, "aws.xray.annotations": ["id"]})
        with tracer.start_as_current_span("DynamoDB.PutItem", kind=SpanKind.CLIENT) as call:
            call.set_attributes({"rpc.system": "aws-api", "rpc.service": "DynamoDB", "rpc.method": "PutItem"})
            call.set_attributes({"aws.dynamodb.table_names": ["orders"], "http.status_code": 200})
        raise KeyError("gone")
    inner, outer = otlp.documents(encoder.encode_spans(ended).SerializeToString())
    assert inner["type"] == "subsegment"
    assert inner["parent_id"] == outer["id"]
    assert (inner["name"], inner["namespace"]) == ("DynamoDB", "aws")
    assert inner["aws"] == {"operation": "PutItem", "table_name": "orders"}
    assert (outer["name"], outer.get("type")) == ("shop", None)
    assert outer["annotations"] == {"id": "a"}
    assert outer["metadata"] == {"default": {"size": 3}}
    assert outer["fault"]
    assert outer["cause"]["exceptions"][0]["type"] == "KeyError"
    assert outer["links"][0]["id"] == f"{other.span_id:016x}"
    for one in (inner, outer):
        assert read(json.dumps(one)) == one
    with pytest.raises(ValueError, match="pars"):
        list(otlp.documents(base64.b64decode("AAAA")))

"""Requests that AWS refuses, whatever the service: those that its API's model or a rule of a bridge excludes.

The emulator accepts most values that AWS does not: a name with a space, a duration of a second.

Faithful to: length, range, pattern and choices of each parameter, as AWS's models of its services have them,
with the code of the service and all failed constraints in one text; and what the rules of bridges add (see
`localaws.refusals`). A request is authorised first.
Not to: requests in CBOR, which the emulator reads only with another package; DynamoDB, S3, SQS, SNS, EC2, RDS
and load balancers, which have checks and words of their own; the order of the constraints in the text.

https://smithy.io/2.0/spec/constraint-traits.html
https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.model import ListShape, MapShape, Shape, StructureShape
from ministack import app
from ministack.core.responses import error_response_json, error_response_xml

from localaws.constraints import model_of, operations
from localaws.patching import changes
from localaws.refusals import Parameters, Refusal, is_checked, refusal
from localaws.services.requests.usage import metered

Headers = Mapping[str, str]
Answer = tuple[int, dict[str, str], bytes]
Serve = Callable[..., Awaitable[Answer]]
Request = tuple[str, Parameters]  # the operation and its parameters

# The emulator's names that are not botocore's.
_NAMES = {"monitoring": "cloudwatch"}


@changes(app, "SERVICE_HANDLERS")
def _checked_handlers(stock: dict[str, Serve]) -> dict[str, Serve]:
    metering = {name: metered(name, serve) for name, serve in stock.items()}
    return {
        name: _checked(botocore_name, serve) if is_checked(botocore_name := _NAMES.get(name, name)) else serve
        for name, serve in metering.items()
    }


def _checked(service: str, serve: Serve) -> Serve:
    async def checked(method: str, path: str, headers: Headers, body: bytes, query_params: Any) -> Answer:
        request = _read(service, method, path, headers, body, query_params)
        found = refusal(service, *request) if request else None
        if found is None:
            return await serve(method, path, headers, body, query_params)
        return _answer(service, headers, found)

    return checked


def _read(
    service: str, method: str, path: str, headers: Headers, body: bytes, query: Mapping[str, list[str]]
) -> Request | None:
    """Operation and parameters of a request; None for what is no request of the service's API."""
    try:
        if model_of(service).metadata["protocol"] == "rest-json":
            return _of_rest(service, method, path, body)
        if "." in headers.get("x-amz-target", ""):
            found: Request = headers["x-amz-target"].rpartition(".")[2], json.loads(body or b"{}")
        else:
            found = _of_form(service, body, query)
    except ValueError:  # the service says so
        return None
    known = found[0] in operations(service) and isinstance(found[1], Mapping)
    return found if known else None


def _of_form(service: str, body: bytes, query: Mapping[str, list[str]]) -> Request:
    given = {name: values[0] for name, values in query.items() if values}
    given |= dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))
    operation = given.pop("Action", "")
    if operation not in operations(service):
        return operation, {}
    shape = model_of(service).operation_model(operation).input_shape
    return operation, _unflattened(shape, given, "") if shape else {}


def _unflattened(shape: Shape, given: Mapping[str, str], prefix: str) -> Any:
    """A value from the parameters of a form, such as `Tags.member.1.Key`; None if there is none."""
    if isinstance(shape, StructureShape):
        below = f"{prefix}." if prefix else ""
        members = {
            name: _unflattened(member, given, below + member.serialization.get("name", name))
            for name, member in shape.members.items()
        }
        present = {name: value for name, value in members.items() if value is not None}
        return present if present or not prefix else None
    if isinstance(shape, (ListShape, MapShape)):
        if not any(name.startswith(f"{prefix}.") for name in given):
            return None
        item = "entry" if isinstance(shape, MapShape) else shape.member.serialization.get("name", "member")
        each = re.compile(rf"{re.escape(prefix)}\.{item}\.(\d+)\.?")
        numbers = sorted({int(found[1]) for name in given if (found := each.match(name))})
        if isinstance(shape, MapShape):
            entries = [f"{prefix}.entry.{number}" for number in numbers]
            return {given.get(f"{one}.key", ""): given.get(f"{one}.value", "") for one in entries}
        return [_unflattened(shape.member, given, f"{prefix}.{item}.{number}") for number in numbers]
    return given.get(prefix)


def _of_rest(service: str, method: str, path: str, body: bytes) -> Request | None:
    for operation, verb, pattern, has_document in _routes(service):
        match = pattern.fullmatch(path) if verb == method else None
        if match:
            document: Any = json.loads(body) if has_document and body else {}
            named = {name: unquote(value) for name, value in match.groupdict().items()}
            return operation, {**document, **named} if isinstance(document, dict) else named
    return None


@functools.cache
def _routes(service: str) -> list[tuple[str, str, re.Pattern[str], bool]]:
    """Each operation with the method and path of its requests, and whether the body has its parameters."""
    routes = []
    for operation in operations(service):
        described = model_of(service).operation_model(operation)
        uri = str(described.http["requestUri"]).partition("?")[0]
        pattern = re.sub(r"\{(\w+)\+?\}", r"(?P<\1>[^/]+)", uri).rstrip("/")
        shape = described.input_shape
        document = shape is not None and "payload" not in shape.serialization
        routes.append((operation, str(described.http["method"]), re.compile(f"{pattern}/?"), document))
    return sorted(routes, key=lambda route: "?P<" in route[2].pattern.rpartition("/")[2])


def _answer(service: str, headers: Headers, found: Refusal) -> Answer:
    """The error, in the protocol of the request."""
    if model_of(service).metadata["protocol"] != "rest-json" and "x-amz-target" not in headers:
        namespace = str(model_of(service).metadata.get("xmlNamespace", ""))
        xml: Answer = error_response_xml(found.code, found.text, found.status, namespace)
        return xml
    json_: Answer = error_response_json(found.code, found.text, found.status)
    return json_

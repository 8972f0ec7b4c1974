"""API calls that fail or are slow because a test asked for it: `aws.faults.api(...)`.

Faithful to: the error has the form of the service's protocol, so that SDKs raise the exception of that name
and retry it as they do on AWS. It comes before anything is done. Of a batch, single entries can be refused:
the call succeeds, and the answer has their errors.
Not to: calls that services make themselves, without a request: the poller of a queue, for example. Such a
fault comes before IAM is asked. Single entries of requests in CBOR, which Kinesis takes from some SDKs.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core import iam_actions, iam_evaluator

from localaws.faults.rules import BATCHES, Rule, rules
from localaws.patching import around

_OBJECT = "^/.+?/.+"  # how the pattern of an object begins, in the emulator's routes


@around("ministack.app", "_dispatch_service_request", after=["lambda_.invocation"])
async def _dispatch_service_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    request_id: str,
) -> Any:
    service = ""
    if rules.has("api"):
        app: Any = importlib.import_module("ministack.app")
        routing = app._routing_params(method, path, headers, body, query_params)
        service = app.detect_service(method, path, headers, routing)
    return await _faulty(stock, service, method, path, headers, body, query_params, request_id)


# The emulator asks both before it detects the service of a request; they return None for other requests.
@around("ministack.app", "_handle_ses_v2_request")
async def _handle_ses_v2_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    request_id: str,
) -> Any:
    service = "sesv2" if path.startswith("/v2/email") else ""
    return await _faulty(stock, service, method, path, headers, body, query_params, request_id)


@around("ministack.app", "_handle_rds_data_request")
async def _handle_rds_data_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    request_id: str,
) -> Any:
    app: Any = importlib.import_module("ministack.app")
    service = "rds-data" if path in app._RDS_DATA_PATHS else ""
    return await _faulty(stock, service, method, path, headers, body, query_params, request_id)


async def _faulty(
    stock: Callable[..., Awaitable[Any]],
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    request_id: str,
) -> Any:
    """Answer a request of a service, unless a fault concerns it; without a service, none does."""
    if service and rules.has("api"):
        app: Any = importlib.import_module("ministack.app")
        routing = app._routing_params(method, path, headers, body, query_params)
        names = {service, iam_actions.SERVICE_TO_IAM_NAMESPACE.get(service, service)}
        operations = _operations(service, method, path, headers, body, routing)
        caller = iam_evaluator.request_caller_arn(headers, query_params)

        def concerns(rule: Rule) -> bool:
            return (
                bool(names & set(rule.target))
                and (rule.operation is None or rule.operation in operations)
                and (rule.role is None or f":assumed-role/{rule.role}/" in caller)
            )

        rule = rules.applying("api", concerns)
        if rule:
            await asyncio.sleep(rule.latency)
            if rule.entries and rule.operation:

                async def send(rest: bytes) -> Any:
                    return await stock(method, path, headers, rest, query_params, request_id)

                return await _refusing_entries(rule, BATCHES[rule.operation], body, send)
            if rule.error:
                answer = iam_actions.access_denied_response(
                    service, "", "", request_id, error_code=rule.error, message=rule.message, headers=headers
                )
                return rule.status, *answer[1:]
    return await stock(method, path, headers, body, query_params, request_id)


async def _refusing_entries(
    rule: Rule, names: tuple[str, str, str], body: bytes, send: Callable[[bytes], Awaitable[Any]]
) -> Any:
    """Refuse the first entries of a batch, and send the others."""
    asked, answered, counted = names
    try:
        request = json.loads(body)
        entries = list(request[asked])
    except (ValueError, TypeError, KeyError):  # the service says what is wrong
        return await send(body)
    refused = [{"ErrorCode": rule.error, "ErrorMessage": rule.message} for _ in entries[: rule.entries]]
    status, headers, sent = 200, {"Content-Type": "application/x-amz-json-1.1"}, b"{}"
    if rest := entries[len(refused) :]:
        status, headers, sent = await send(json.dumps({**request, asked: rest}).encode())
        if status != 200:
            return status, headers, sent
    answer = json.loads(sent)
    answer[answered] = [*refused, *answer.get(answered, [])]
    answer[counted] = len(refused) + answer.get(counted, 0)
    return status, headers, json.dumps(answer).encode()


def _operations(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, routing: dict[str, Any]
) -> set[str]:
    """The name of the operation; a few of S3 have two."""
    if service == "s3":
        return _operations_of_s3(method, path, headers, routing)
    if target := headers.get("x-amz-target"):
        return {target.rpartition(".")[2]}
    if action := routing.get("Action"):
        return {str(action[0] if isinstance(action, list) else action)}
    if found := iam_actions._match_rest_action(
        "ses" if service == "sesv2" else service, method, path, routing
    ):
        return {str(found)}
    permission = iam_actions.extract_iam_action(service, method, path, headers, body, routing)
    return {permission.partition(":")[2]} if permission else set()


@functools.cache
def _routes_of_s3() -> list[Any]:
    return list(iam_actions._load_botocore_routes("s3"))


def _operations_of_s3(method: str, path: str, headers: dict[str, str], routing: dict[str, Any]) -> set[str]:
    """The operations of the most specific routes: `?uploads` says more than the path."""
    app: Any = importlib.import_module("ministack.app")
    bucket = app._extract_s3_vhost_bucket(headers.get("host", ""))
    whole = f"/{bucket}{path}" if bucket else path
    of_object = bool(whole.strip("/").partition("/")[2])
    copies = "x-amz-copy-source" in headers
    matching = [
        (len(query), name)
        for verb, pattern, name, _, query in _routes_of_s3()
        if verb == method
        and pattern.match(whole)
        and pattern.pattern.startswith(_OBJECT) == of_object
        and ("Copy" in name) == copies
        and all(key in routing and (not value or value in routing[key]) for key, value in query.items())
    ]
    return {name for count, name in matching if count == max(matching)[0]}

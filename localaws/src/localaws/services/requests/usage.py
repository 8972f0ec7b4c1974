"""What AWS bills of requests to its APIs, for `aws.usage()`.

Faithful to: the units in which AWS bills requests that were allowed: read and write request units of
on-demand tables, also of secondary indexes, transactions and writes whose condition failed; S3's two classes
of requests, of which deleting is free; a request to SQS, SNS or EventBridge for each 64 KB; records of
on-demand streams in KB, and of Firehose in units of 5 KB. What services do without a request is counted where
they do it: invocations of functions and their logs, reading and deleting by the poller of a queue, requests
to APIs, distributions and Express workflows, steps of Standard ones and the calls of their tasks.
Not to: storage, traffic to the internet, durations, and control planes, most of which are free; what Firehose
writes and reads; traces; receives of a poller that find no message.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/aws-usage-report-understand.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html
"""

from __future__ import annotations

import importlib
import json
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from math import ceil
from typing import Any

from ministack.core import iam_evaluator

from localaws.usage import amounts, log_bytes

Answer = tuple[int, dict[str, str], bytes]
Serve = Callable[..., Awaitable[Answer]]

READS, WRITES = "DynamoDB read request units", "DynamoDB write request units"
GETS, PUTS = "S3 GET requests", "S3 PUT requests"
_KB = 1024
# One for each request, whatever it is.
_ANY = {
    "secretsmanager": "Secrets Manager requests",
    "kms": "KMS requests",
}
# Operations of other services of which each call is one.
_CALLS = {
    ("monitoring", "PutMetricData"): "CloudWatch metric requests",
    ("monitoring", "GetMetricData"): "CloudWatch metric requests",
    ("ses", "SendEmail"): "SES mails",
    ("ses", "SendRawEmail"): "SES mails",
}
_OF_DYNAMODB = {
    **dict.fromkeys(("GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems"), READS),
    **dict.fromkeys(("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"), WRITES),
}


def metered(service: str, serve: Serve) -> Serve:
    """Count what the requests to a service cost.

    Args:
        service: The emulator's name of the service.
        serve: What answers its requests, once they are allowed.
    """

    async def counted(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Answer:
        caller = iam_evaluator.request_caller_arn(headers, query)
        if service == "dynamodb":
            return await _of_dynamodb(serve, caller, method, path, headers, body, query)
        answer = await serve(method, path, headers, body, query)
        if answer[0] < 400:
            operation = method if service == "s3" else _operation(headers, body, query)
            for unit, amount in units(service, operation, path, headers, body, query):
                amounts.add(caller, unit, amount, operation)
        return answer

    return counted


def units(
    service: str, operation: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
    """What a request costs, by unit."""
    if unit := _ANY.get(service) or _CALLS.get((service, operation)):
        yield unit, 1
    elif service == "s3":
        yield from _of_s3(operation, path, headers, query)
    elif service == "sqs":
        fifo = b".fifo" in body or ".fifo" in path
        yield f"SQS {'FIFO ' if fifo else ''}requests", _chunks(len(body), 64)
    elif service == "sns" and operation in ("Publish", "PublishBatch"):
        yield f"SNS {'FIFO ' if b'.fifo' in body else ''}requests", _chunks(len(body), 64)
    elif service == "events" and operation == "PutEvents":
        for entry in json.loads(body)["Entries"]:
            yield "EventBridge events", _chunks(len(json.dumps(entry)), 64)
    elif service == "kinesis" and operation in ("PutRecord", "PutRecords"):
        for data in _data(body):
            yield "Kinesis KB", _chunks(data, 1)
    elif service == "firehose" and operation in ("PutRecord", "PutRecordBatch"):
        for data in _data(body):
            yield "Firehose units of 5 KB", _chunks(data, 5)
    elif service == "logs" and operation == "PutLogEvents":
        events = json.loads(body)["logEvents"]
        yield "CloudWatch Logs bytes", sum(log_bytes(one["message"]) for one in events)


def _chunks(size: float, kilobytes: int) -> int:
    return max(1, ceil(size / (kilobytes * _KB)))


def _operation(headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]) -> str:
    if target := headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    if found := query.get("Action"):
        return str(found[0] if isinstance(found, list) else found)
    start = body.find(b"Action=")
    return body[start + 7 :].split(b"&", 1)[0].decode() if start >= 0 else ""


def _data(body: bytes) -> list[float]:
    """The size of each record in a request, of which the data are in base64."""
    request = json.loads(body)
    records = request.get("Records") or [request.get("Record") or request]
    return [len(one["Data"]) * 3 / 4 + len(one.get("PartitionKey", "")) for one in records]


def _of_s3(
    method: str, path: str, headers: Mapping[str, str], query: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
    app: Any = importlib.import_module("ministack.app")
    bucket = app._extract_s3_vhost_bucket(headers.get("host", ""))
    key = path.strip("/") if bucket else path.strip("/").partition("/")[2]
    lists = method == "GET" and not key and not set(query) & _SETTINGS
    if lists or (method in ("PUT", "POST") and "delete" not in query):
        yield PUTS, 1
    elif method in ("GET", "HEAD"):
        yield GETS, 1


_SETTINGS = {"acl", "cors", "encryption", "lifecycle", "location", "logging", "notification", "policy"} | {
    "publicAccessBlock",
    "tagging",
    "versioning",
}


async def _of_dynamodb(
    serve: Serve, caller: str, method: str, path: str, headers: dict[str, str], body: bytes, query: Any
) -> Answer:
    """Ask for the consumed capacity, and do not show it to callers that did not."""
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    try:
        request = json.loads(body)
        asked = request.get("ReturnConsumedCapacity", "NONE") != "NONE"
    except (ValueError, AttributeError):
        return await serve(method, path, headers, body, query)
    unit = _OF_DYNAMODB.get(operation)
    if unit is None:
        return await serve(method, path, headers, body, query)
    if not asked:
        body = json.dumps({**request, "ReturnConsumedCapacity": "TOTAL"}).encode()
    status, answered, content = await serve(method, path, headers, body, query)
    answer = json.loads(content)
    if status >= 400:
        if str(answer.get("__type", "")).endswith("ConditionalCheckFailedException"):
            amounts.add(caller, unit, 1, operation)
        return status, answered, content
    consumed = answer.get("ConsumedCapacity") if asked else answer.pop("ConsumedCapacity", None)
    for one in consumed if isinstance(consumed, list) else filter(None, [consumed]):
        amounts.add(caller, unit, float(one["CapacityUnits"]), operation)
    if not asked:
        content = json.dumps(answer).encode()
        answered["x-amz-crc32"] = str(zlib.crc32(content) & 0xFFFFFFFF)
    return status, answered, content


def billed_task(run: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Count what a task of a workflow costs that the emulator passes to a service without a request."""

    def counted(resource: str, given: Any) -> Any:
        service, _, operation = resource.partition(":::")[2].partition(".")[0].partition(":")
        operation = operation[:1].upper() + operation[1:]
        if service != "dynamodb":
            result = run(resource, given)
            for name, amount in units(service, operation, "/", {}, json.dumps(given).encode(), {}):
                amounts.add("", name, amount)
            return result
        result = run(resource, {**given, "ReturnConsumedCapacity": "TOTAL"})
        consumed = result["ConsumedCapacity"]
        amounts.add("", _OF_DYNAMODB[operation], float(consumed["CapacityUnits"]))
        asked = given.get("ReturnConsumedCapacity", "NONE") != "NONE"
        return result if asked else {name: value for name, value in result.items() if value is not consumed}

    return counted
